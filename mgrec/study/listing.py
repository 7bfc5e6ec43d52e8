"""Recommended items as lines for a terminal: rank, score, id, title, semantic ID."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from mgrec.answers import Recommendations
from mgrec.recommender import Recommender

TITLES = ("title", "name", "text", "description")


def titles(items: pl.DataFrame, rows: Sequence[int], width: int = 60) -> list[str]:
    """Return what the items are called: the first of `TITLES` that each has, else nothing."""
    columns = [c for c in TITLES if c in items.columns and items.schema[c] == pl.String]
    if not columns:
        return ["" for _ in rows]
    found = items[list(rows)].select(pl.coalesce(columns).fill_null(""))
    names = found.to_series().str.replace_all(r"\s+", " ").to_list()
    return [name if len(name) <= width else name[: width - 1].rstrip() + "…" for name in names]


def listing(recommender: Recommender, found: Recommendations) -> str:
    """Write an answer for a person, with how it was found underneath."""
    catalogue = recommender.catalogue
    rows = catalogue.index_of(found.item_ids).tolist()
    names = titles(catalogue.items, rows)
    width = max((len(str(item.item_id)) for item in found), default=0)
    lines = [
        f"{rank:>3}  {item.score:8.3f}  {item.item_id!s:<{width}}  {name}".rstrip()
        for rank, (item, name) in enumerate(zip(found, names, strict=True), 1)
    ]
    return "\n".join([*lines, f"({found.reason})"])
