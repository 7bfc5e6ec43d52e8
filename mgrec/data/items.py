"""The catalogue: items with their texts, pictures and attributes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from mgrec.data import columns as cols
from mgrec.data.casts import refuse_strange_dates
from mgrec.data.notes import Notebook
from mgrec.data.paths import pictures
from mgrec.data.tables import Table, short
from mgrec.errors import DataError

# Joined to one text where a catalogue names no text column itself.
WRITTEN = ("title", "name", "description", "brand", "categories")


def read(
    table: Table,
    text_columns: Sequence[str] | None,
    root: Path | None,
    notes: Notebook,
    like: pl.Series | None = None,
) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Read the items.

    Parameters
    ----------
    text_columns : columns that make up the text; None looks for them
    like : ids whose type is taken over, those of a catalogue that is added to

    Returns
    -------
    items : polars.DataFrame
        Row = item index.
    text_columns : tuple of str
        Columns that make up an item's text.

    Raises
    ------
    DataError
        If ids are missing, mixed or twice there, a text column is missing, or a picture path is
        not one inside the folder.
    """
    _refuse_patterns(table)
    refuse_strange_dates(table)
    ids = cols.ids(table, "item_id", like)
    twice = ~ids.is_first_distinct()
    if twice.any():
        row = int(twice.arg_max() or 0)
        first = table.place(int((ids == ids[row]).arg_max() or 0))
        raise DataError(
            f"{table.place(row, 'item_id')}: found {short(ids[row])} again (first: {first}),"
            f" expected each item once; rows that repeat an item: {int(twice.sum()):,} of"
            f" {len(ids):,}"
        )
    cols.refuse_infinity(table)
    written = _text_columns(table, text_columns)
    image = pictures(table, root)
    items = cols.plain_frame(table.frame.with_columns(ids), table.name)
    if "image" in items.columns:
        items = items.with_columns(image=image.paths)
    attributes = [c for c in items.columns if c not in {"item_id", "image", *written}]
    notes.say(f"{table.name}: {len(items):,} items, {cols.kind(ids)} as ids")
    if written:
        one = len(written) == 1
        how = written[0] if one else f'{", ".join(written)}, joined by ". "'
        notes.say(f"text: {'column' if one else 'columns'} {how}")
    if "image" in items.columns:
        n = len(items) - int(items["image"].null_count())
        notes.say(f"pictures: column image, {n:,} files")
    if attributes:
        kinds = [f"{name} ({_kind(items, table, name)})" for name in attributes]
        notes.say(f"attributes: {', '.join(kinds)}")
    notes.warn(
        "missing_pictures",
        image.absent,
        f"items whose picture file is not there, kept without it: {image.absent:,}"
        f" (first: {image.first_absent})",
    )
    return items, written


def _kind(items: pl.DataFrame, table: Table, column: str) -> str:
    """Return the kind of a column's values, and the first value that makes numbers text."""
    kind = cols.WORDS[cols.kind_of(items.schema[column])]
    row = cols.stray(items[column])
    if row is None:
        return kind
    return f"{kind}, not numbers: {table.place(row)} has {short(items[column][row])}"


def _refuse_patterns(table: Table) -> None:
    """Raise DataError for a column whose name Polars would read as a pattern."""
    for name in table.frame.columns:
        if name == "*" or (name.startswith("^") and name.endswith("$")):
            raise DataError(
                f"{table.name}: found a column '{table.names.get(name, name)}', expected a name"
                " other than * and ^...$"
            )


def _text_columns(table: Table, wanted: Sequence[str] | None) -> tuple[str, ...]:
    """Return the columns that make up the text: those wanted, or `text`, or whatever is written."""
    if wanted is not None:
        ours = {theirs: name for name, theirs in table.names.items()}
        several = [wanted] if isinstance(wanted, str) else wanted
        chosen = tuple(ours.get(column, column) for column in several)
        table.require(*chosen)
        return chosen
    return written_in(table.frame.columns)


def written_in(columns: Sequence[str]) -> tuple[str, ...]:
    """Return the columns that make up the text where nobody names any."""
    return ("text",) if "text" in columns else tuple(c for c in WRITTEN if c in columns)
