"""An evaluation: where each test target was ranked, and what that comes to, with intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mgrec.data.splits import Split
from mgrec.errors import RequestError
from mgrec.measure.intervals import Interval, Paired, paired
from mgrec.measure.metrics import MISS, metric, ranks_of, with_intervals
from mgrec.measure.slices import slices

SLICED = ("Recall@10", "NDCG@10")


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Item-level, full-ranking results on the test cases.

    Attributes
    ----------
    user_ids, target_ids : [cases], external ids
    users : int64 [cases], user index
    targets : int32 [cases], item index
    lists : int32 [cases, k], item indices, best first, -1 behind the last
    ranks : int64 [cases], 0-based, -1 where the target is not in the list; `to_frame` counts
        from 1
    metrics : every column of the tables with its 95% interval over users
    slices : which cases are in which part, bool [cases] each
    """

    user_ids: pl.Series
    target_ids: pl.Series
    users: NDArray[np.int64]
    targets: NDArray[np.int32]
    lists: NDArray[np.int32]
    ranks: NDArray[np.int64]
    metrics: dict[str, Interval]
    slices: dict[str, NDArray[np.bool_]]

    def sliced(self, name: str) -> dict[str, Interval]:
        """Return some metrics of one slice with their intervals."""
        found = with_intervals(self.ranks[self.slices[name]])
        return {metric_name: found[metric_name] for metric_name in SLICED}

    def against(self, other: Evaluation, name: str = "NDCG@10", part: str | None = None) -> Paired:
        """Compare with another run on the same cases: a paired test of ours minus theirs.

        Raises
        ------
        RequestError
            If the cases differ.
        """
        same = np.array_equal(self.users, other.users) and np.array_equal(
            self.targets, other.targets
        )
        if not same:
            raise RequestError(
                "evaluations: found other test users or targets in one than in the other, expected"
                " the same in both: the same data and split"
            )
        rows = np.ones(len(self.ranks), bool) if part is None else self.slices[part]
        return paired(metric(self.ranks[rows], name), metric(other.ranks[rows], name))

    def to_dict(self) -> dict[str, Any]:
        """Return metrics and slices for JSON."""
        return {
            "cases": len(self.ranks),
            "metrics": {name: vars(interval) for name, interval in self.metrics.items()},
            "slices": {
                name: {
                    "cases": int(rows.sum()),
                    **{column: vars(found) for column, found in self.sliced(name).items()},
                }
                for name, rows in self.slices.items()
            },
        }

    def to_frame(self) -> pl.DataFrame:
        """Return one row per test case, so that runs can be compared later.

        Columns: ``user_id``; ``item_id``, the target; ``rank``, its rank in the list of 20, from 1,
        null if it is not in the list.
        """
        return pl.DataFrame(
            {
                "user_id": self.user_ids,
                "item_id": self.target_ids,
                "rank": pl.Series(self.ranks + 1, dtype=pl.Int32).replace(MISS + 1, None),
            }
        )


def measure(
    top: NDArray[np.int64],
    parts: Split,
    users: pl.Series,
    items: pl.Series,
    present: dict[str, NDArray[np.bool_]],
) -> Evaluation:
    """Measure lists of items against the test targets.

    Parameters
    ----------
    top : int64 [cases, k], best first, -1 behind the last
    parts : whose train says which items are popular, tail or cold
    users, items : the ids of all users and items, by index
    present : bool [items] by modality, which items have it
    """
    cases = parts.test
    ranks = ranks_of(top, cases.targets)
    return Evaluation(
        users.gather(cases.users),
        items.gather(cases.targets),
        cases.users,
        cases.targets,
        top.astype(np.int32),
        ranks,
        with_intervals(ranks),
        slices(cases.targets, cases.history, parts.train, len(items), present),
    )
