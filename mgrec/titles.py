"""Titles and descriptions of items."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from mgrec.data.columns import texts

TITLES = ("title", "name", "text", "description")
DESCRIBED = ("text", "description")


def titles(items: pl.DataFrame, rows: Sequence[int], width: int = 60) -> list[str]:
    """Return the titles of items: the text of the first of `TITLES` that each has."""
    columns = [c for c in TITLES if c in items.columns]
    if not columns:
        return ["" for _ in rows]
    frame = items.select(columns)[list(rows)]
    plain = [texts(frame, [c]).str.replace_all(r"\s+", " ").str.strip_chars() for c in columns]
    names = pl.select(pl.coalesce(plain).fill_null("")).to_series().to_list()
    return [name if len(name) <= width else name[: width - 1].rstrip() + "…" for name in names]


def description(items: pl.DataFrame, row: int) -> str:
    """Return the text that describes an item: that of the first of `DESCRIBED` that it has."""
    known = (texts(items[[c]][[row]], [c])[0] for c in DESCRIBED if c in items.columns)
    return next((text for text in known if text), "")
