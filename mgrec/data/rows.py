"""Concatenated rows of items: one rule for the types of their columns."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import polars as pl

from mgrec.data.casts import in_words, lossless, missing, unsettled
from mgrec.data.columns import shaped
from mgrec.data.tables import short
from mgrec.errors import DataError


def joined_rows(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Concatenate frames; a column that a frame lacks is null there.

    A column gets the type that holds all rows: nulls and empty lists fit any type, and whole
    numbers fit floats. The result is the same whether frames are joined one by one or together.

    Raises
    ------
    DataError
        If a column's types do not fit each other.
    """
    schema: dict[str, pl.DataType] = {}
    for frame in frames:
        for name, kind in frame.schema.items():
            schema[name] = _wider(schema.get(name, pl.Null()), kind, name)
    parts = [
        frame.select(
            (pl.col(name) if name in frame.columns else pl.lit(None)).cast(kind).alias(name)
            for name, kind in schema.items()
        )
        for frame in frames
        if len(frame)
    ]
    return pl.concat(parts) if parts else pl.DataFrame(schema=schema)


def as_in(
    rows: pl.DataFrame,
    schema: pl.Schema,
    place: Callable[[int, str], str],
    texts: Collection[str] = (),
    widening: Collection[str] = (),
) -> pl.DataFrame:
    """Return rows in the types of a catalogue's columns, without changing a value.

    Parameters
    ----------
    schema : of the catalogue's items; a column without values takes the type of the rows
    place : returns the name of a row and column for errors
    texts : columns that make up the text, in which lists and text are converted to each other
    widening : columns that take the type that holds the values of both

    Raises
    ------
    DataError
        If a value would change or be lost.
    """
    cast = {}
    for name, kind in rows.schema.items():
        have = schema.get(name, kind)
        if have == kind:
            continue
        values = shaped(rows[name], have) if name in texts else rows[name]
        free = unsettled(have) or name in widening
        wanted = _wider(have, values.dtype, name) if free else have
        cast[name] = lossless(values, wanted)
        lost = cast[name].is_null() & ~missing(values)
        if lost.any():
            row = int(lost.arg_max() or 0)
            raise DataError(
                f"{place(row, name)}: found {short(rows[name][row])},"
                f" expected {in_words(wanted)}, as in the catalogue"
            )
    return rows.with_columns(**cast)


def may_widen(values: pl.Series, kind: pl.DataType) -> bool:
    """Whether a column of whole numbers can become fractions without changing a value."""
    if not (values.dtype.is_integer() and kind.is_float()):
        return False
    return bool((values.cast(pl.Float64).abs() < 2**53).all())


def _wider(one: pl.DataType, other: pl.DataType, column: str) -> pl.DataType:
    """Return the type that holds the values of both."""
    if one == other or other == pl.Null:
        return one
    if one == pl.Null:
        return other
    if isinstance(one, pl.List) and isinstance(other, pl.List):
        return pl.List(_wider(one.inner, other.inner, column))  # type: ignore[arg-type]
    if one.is_numeric() and other.is_numeric():
        pair = [pl.Series([], dtype=kind).to_frame("x") for kind in (one, other)]
        return pl.concat(pair, how="vertical_relaxed").schema["x"]
    raise DataError(f"column '{column}': found {other}, expected {one} as in the catalogue")
