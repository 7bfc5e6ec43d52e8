"""Rows of items put together: one rule for the types of their columns."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import polars as pl
from polars.datatypes import DataTypeClass

from mgrec.data.tables import short
from mgrec.errors import DataError


def joined_rows(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Put frames one below the other; a column that one lacks is null there.

    The types are those that all rows fit: nothing but nulls, or empty lists, fits any type, and
    whole numbers fit fractions. So it makes no difference whether frames are put together one by
    one or all at once.

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


def as_in(rows: pl.DataFrame, items: pl.DataFrame, later: Collection[str] = ()) -> pl.DataFrame:
    """Return rows in the types of a catalogue's columns, no value changed.

    Parameters
    ----------
    later : columns whose type no fit has fixed, so that whole numbers may become fractions

    Raises
    ------
    DataError
        If a value would change or be lost.
    """
    cast = {}
    for name, kind in rows.schema.items():
        have = items.schema.get(name, kind)
        widens = name in later and may_widen(items[name], kind)
        wanted = _wider(have, kind, name) if widens or _is_open(have) else have
        if wanted == kind:
            continue
        values = rows[name]
        try:
            cast[name] = values.cast(wanted, strict=False)
            back = cast[name].cast(kind, strict=False)
        except pl.exceptions.PolarsError:
            back = pl.Series(name, [None] * len(values), dtype=kind)
        wrong = values.ne_missing(back)
        if wrong.any():
            row = int(wrong.arg_max() or 0)
            raise DataError(
                f"item {rows['item_id'][row]!r}, column '{name}': found"
                f" {short(values[row])}, expected {wanted} as in the catalogue"
            )
    return rows.with_columns(**cast)


def may_widen(values: pl.Series, kind: pl.DataType) -> bool:
    """Whether a column of whole numbers can become one of fractions with no value changed."""
    if not (values.dtype.is_integer() and kind.is_float()):
        return False
    wide = values.cast(pl.Float64)
    return bool((wide.abs() < 2**53).all())


def _is_open(kind: pl.DataType) -> bool:
    """Whether nothing but nulls and empty lists stands in a column, or in a part of it."""
    if isinstance(kind, pl.List):
        return _is_open(_inner(kind))
    if isinstance(kind, pl.Struct):
        return any(_is_open(_instance(field.dtype)) for field in kind.fields)
    return kind == pl.Null


def _wider(one: pl.DataType, other: pl.DataType, column: str) -> pl.DataType:
    """Return the type that the values of two fit."""
    if one == other or other == pl.Null:
        return one
    if one == pl.Null:
        return other
    if isinstance(one, pl.List) and isinstance(other, pl.List):
        return pl.List(_wider(_inner(one), _inner(other), column))
    if isinstance(one, pl.Struct) and isinstance(other, pl.Struct):
        fields = {field.name: field.dtype for field in one.fields}
        for field in other.fields:
            have = fields.get(field.name, pl.Null())
            fields[field.name] = _wider(_instance(have), _instance(field.dtype), column)
        return pl.Struct(fields)
    if one.is_numeric() and other.is_numeric():
        pair = [pl.Series([], dtype=kind).to_frame("x") for kind in (one, other)]
        return pl.concat(pair, how="vertical_relaxed").schema["x"]
    raise DataError(f"column '{column}': found {other}, expected {one} as in the catalogue")


def _inner(kind: pl.List) -> pl.DataType:
    return _instance(kind.inner)


def _instance(kind: pl.DataType | DataTypeClass) -> pl.DataType:
    return kind() if isinstance(kind, type) else kind
