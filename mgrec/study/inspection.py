"""Looking into an artifact: codebook usage, collisions, and the items under a prefix."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mgrec.errors import RequestError
from mgrec.files import check_file
from mgrec.folders import new_file
from mgrec.ids.health import Health
from mgrec.printable import inline
from mgrec.recommender import Recommender
from mgrec.titles import titles

SHOWN = 20  # items listed under a prefix


@dataclass(frozen=True)
class Named:
    """One item: its id, what it is called, its picture file and its semantic ID."""

    item_id: int | str
    title: str
    image: str | None
    semantic_id: str


@dataclass(frozen=True)
class Inspection:
    """What `inspect` shows.

    Attributes
    ----------
    layout : the slots of a semantic ID, in words
    books : health of every block
    prefix : the codes asked for, or None
    under : how many items the prefix leads to
    items : the first of them, or the one item asked for
    """

    run: str
    layout: str
    collisions: str
    books: tuple[Health, ...]
    prefix: tuple[int, ...] | None
    under: int
    items: tuple[Named, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return everything for JSON."""
        return {
            "run": self.run,
            "layout": self.layout,
            "collisions": self.collisions,
            "codebooks": [book.to_dict() for book in self.books],
            "prefix": self.prefix,
            "under": self.under,
            "items": [vars(item) for item in self.items],
        }

    def to_text(self) -> str:
        """Write everything for a person."""
        lines = [self.run, "", "Semantic ID", f"  {self.layout}", f"  {self.collisions}", ""]
        lines += ["Codebooks", *(f"  {line}" for book in self.books for line in book.in_words())]
        if self.prefix is not None:
            codes = " ".join(map(str, self.prefix)) or "(empty)"
            lines += ["", f"Under the prefix {codes}: {self.under:,} items"]
        for item in self.items:
            lines.append(f"  {inline(item.item_id)}  {inline(item.title)}")
            lines.append(
                f"      {item.semantic_id}" + (f"   {inline(item.image)}" if item.image else "")
            )
        if self.prefix is not None and self.under > len(self.items):
            lines.append(f"  ... and {self.under - len(self.items):,} more")
        return "\n".join(lines)


def inspection(
    recommender: Recommender,
    *,
    prefix: str | None = None,
    item: str | None = None,
    export: Path | None = None,
) -> Inspection:
    """Look into a recommender's IDs.

    Parameters
    ----------
    prefix : codes of the generated slots from the first on, separated by blanks
    item : an item id
    export : where all semantic IDs are written as Parquet

    Raises
    ------
    RequestError
        If the prefix is not made of numbers, or the item is unknown.
    """
    if export is not None:
        check_file(export)
    catalogue = recommender.catalogue
    ids = catalogue.ids
    codes = None if prefix is None else _codes(prefix, len(ids.target))
    rows = np.empty(0, np.int64)
    if codes is not None:
        rows = recommender.model.trie.under(codes).numpy()
    elif item is not None:
        rows = catalogue.index_of([item])
        if rows[0] < 0:
            raise RequestError(f"item '{item}': not in the catalogue")
    if export is not None:
        with new_file(export) as draft:
            ids.to_frame(catalogue.items["item_id"]).write_parquet(draft)
    return Inspection(
        run=f"{recommender.recipe.name}: {catalogue.n_items:,} items",
        layout=" ".join(_slot(slot.kind, slot.modality, slot.level) for slot in ids.slots),
        collisions=_collisions(recommender),
        books=tuple(catalogue.codebooks(name) for name in catalogue.codes),
        prefix=codes,
        under=len(rows),
        items=tuple(_named(recommender, rows[:SHOWN])),
    )


def _named(recommender: Recommender, rows: np.ndarray) -> list[Named]:
    items, ids = recommender.catalogue.items, recommender.catalogue.ids
    pictures = items["image"] if "image" in items.columns else None
    named = zip(rows.tolist(), titles(items, rows.tolist()), strict=True)
    return [
        Named(
            items["item_id"][row],
            title,
            None if pictures is None else pictures[row],
            ids.text(row),
        )
        for row, title in named
    ]


def _codes(prefix: str, most: int) -> tuple[int, ...]:
    parts = prefix.replace(",", " ").split()
    if not all(part.isdecimal() and len(part) < 10 for part in parts) or len(parts) > most:
        raise RequestError(f"prefix '{prefix}': expected at most {most} codes, such as \"12 7\"")
    return tuple(map(int, parts))


def _slot(kind: str, modality: str, level: int) -> str:
    return {
        "code": f"{modality}{level + 1}",
        "transition": f"[{modality}]",
        "digit": f"u{level + 1}",
    }[kind]


def _collisions(recommender: Recommender) -> str:
    """Say how many items share their generated codes before the disambiguation code."""
    ids = recommender.catalogue.ids
    places = [s for s in ids.target if ids.slots[s].kind != "digit"]
    _, sizes = np.unique(ids.tokens[:, places], axis=0, return_counts=True)
    shared = int(sizes[sizes > 1].sum())
    if not shared:
        return "every item has codes of its own; the disambiguation code is always u0"
    return (
        f"{shared:,} of {ids.n_items:,} items share their codes with another and are told apart by"
        f" the disambiguation code; the largest group has {int(sizes.max()):,}"
    )
