"""The table of results: one line a ranker, one column a metric, for a terminal or a machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mgrec.measure.intervals import Interval
from mgrec.study.parts import Row

SHOWN = ("Recall@5", "NDCG@5", "Recall@10", "NDCG@10", "Recall@20", "NDCG@20", "MRR@10")


@dataclass(frozen=True)
class Table:
    """Rows of results with the protocol that they were measured under.

    Attributes
    ----------
    rows : models, baselines, ceilings, each with its metrics
    protocol : in words
    notes : further lines, such as paired tests
    """

    rows: tuple[Row, ...]
    protocol: str
    notes: tuple[str, ...] = ()

    def to_text(self) -> str:
        """Write the table for a terminal; NDCG@10 carries its 95% interval."""
        beside = list(dict.fromkeys(name for row in self.rows for name in row.beside))
        columns = (name.replace("Recall", "R").replace("NDCG", "N") for name in SHOWN)
        head = ["", *columns, *beside]
        lines = [
            [
                row.name,
                *(_cell(row.metrics.get(name), name) for name in SHOWN),
                *(row.beside.get(name, "") for name in beside),
            ]
            for row in self.rows
        ]
        return "\n".join([*_aligned([head, *lines]), "", self.protocol, *self.notes])

    def to_dict(self) -> dict[str, Any]:
        """Return everything for JSON."""
        return {
            "protocol": self.protocol,
            "notes": list(self.notes),
            "rows": [
                {
                    "name": row.name,
                    "kind": row.kind,
                    "note": row.note,
                    "beside": dict(row.beside),
                    "metrics": {name: vars(found) for name, found in row.metrics.items()},
                }
                for row in self.rows
            ],
        }


def _cell(found: Interval | None, name: str) -> str:
    if found is None:
        return ""
    text = f"{found.value:.4f}"
    return f"{text} [{found.low:.4f}, {found.high:.4f}]" if name == "NDCG@10" else text


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Pad every column to its widest cell; names to the left, figures to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            [
                row[0].ljust(widths[0]),
                *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)),
            ]
        ).rstrip()
        for row in rows
    ]
