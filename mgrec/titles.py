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
    plain = [pl.col(c).str.replace_all(r"\s+", " ").str.strip_chars() for c in columns]
    told = [pl.when(name != "").then(name) for name in plain]
    names = items[list(rows)].select(pl.coalesce(told).fill_null("")).to_series().to_list()
    return [name if len(name) <= width else name[: width - 1].rstrip() + "…" for name in names]
