"""Titles: what items are called."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

TITLES = ("title", "name", "text", "description")


def titles(items: pl.DataFrame, rows: Sequence[int], width: int = 60) -> list[str]:
    """Return what the items are called: the first of `TITLES` that each has, else nothing."""
    columns = [c for c in TITLES if c in items.columns and items.schema[c] == pl.String]
    if not columns:
        return ["" for _ in rows]
    found = items[list(rows)].select(pl.coalesce(columns).fill_null(""))
    names = found.to_series().str.replace_all(r"\s+", " ").to_list()
    return [name if len(name) <= width else name[: width - 1].rstrip() + "…" for name in names]
