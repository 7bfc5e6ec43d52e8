"""Casts of columns that change no value."""

from __future__ import annotations

from functools import partial

import polars as pl

from mgrec.data.columns import iso_moments, written_numbers
from mgrec.data.tables import Table
from mgrec.errors import DataError

_FIRST_DAY, _LAST_DAY = -719_162, 2_932_896  # 0001-01-01 and 9999-12-31, in days since 1970
_DAY = {"ms": 86_400 * 10**3, "us": 86_400 * 10**6, "ns": 86_400 * 10**9}  # in ticks
_WHOLE = 2**53  # below, float64 represents every whole number


def lossless(values: pl.Series, wanted: pl.DataType) -> pl.Series:
    """Return values in another type, null where a value would change or be lost.

    Text becomes a number, a date or a Boolean where it is written as one; a number without a
    fraction becomes a whole number, 0 and 1 become false and true, and a moment at midnight a date.
    Decimal numbers are rounded to the precision of a column of floats. Moments without a zone are
    in UTC.
    """
    kind = values.dtype
    if kind in (wanted, pl.Null):
        return values.cast(wanted)
    if isinstance(wanted, pl.List) and isinstance(kind, pl.List):
        return _lists(values, wanted)
    if kind.is_nested() or kind in (pl.Object, pl.Binary, pl.Duration):
        return _nothing(values, wanted)
    if wanted == pl.String:
        return _where(~missing(values), values.cast(pl.String))
    if wanted == pl.Boolean:
        return _truths(values)
    if wanted.is_numeric():
        return _numbers(values, wanted)
    if wanted in (pl.Date, pl.Datetime):
        return _moments(values, wanted)
    return _nothing(values, wanted)


def missing(values: pl.Series) -> pl.Series:
    """Return Boolean [rows]: where a value is missing; NaN counts as missing."""
    return values.fill_nan(None).is_null() if values.dtype.is_float() else values.is_null()


def in_words(dtype: pl.DataType) -> str:
    """Return what one value of a type is, for a message."""
    if isinstance(dtype, pl.List | pl.Array):
        return f"a list: {in_words(dtype.inner)} each"  # type: ignore[arg-type]
    if dtype.is_integer():
        return f"a whole number ({dtype})"
    if dtype.is_numeric():
        return f"a number ({dtype})"
    words = {pl.Boolean: "true or false", pl.Date: "a date such as 2024-05-17", pl.String: "text"}
    if isinstance(dtype, pl.Datetime):
        return "a moment such as 2024-05-17T18:30:00Z"
    return words.get(dtype.base_type(), str(dtype))


def unsettled(dtype: pl.DataType) -> bool:
    """Whether a column has only nulls and empty lists so far, so that its type is still open."""
    return dtype == pl.Null or (isinstance(dtype, pl.List) and unsettled(dtype.inner))  # type: ignore[arg-type]


def refuse_strange_dates(table: Table) -> None:
    """Raise DataError where a date lies outside the years 1 to 9999, which Polars cannot show."""
    for values in table.frame:
        wrong = outside_calendar(values)
        if wrong.any():
            row = int(wrong.arg_max() or 0)
            raise DataError(
                f"{table.place(row, values.name)}: found {values.to_physical()[row]} as a"
                f" {values.dtype.base_type()}, expected a date in the years 1 to 9999"
            )


def outside_calendar(values: pl.Series) -> pl.Series:
    """Return Boolean [rows], or one False for all: where a date is outside the years 1 to 9999."""
    dtype = values.dtype
    if isinstance(dtype, pl.List | pl.Array) and dtype.inner in (pl.Date, pl.Datetime):
        lists = values.arr.to_list() if isinstance(dtype, pl.Array) else values
        wrong = pl.element().map_batches(outside_calendar, return_dtype=pl.Boolean)
        return lists.list.eval(wrong).list.any().fill_null(False)
    if dtype not in (pl.Date, pl.Datetime):
        return pl.Series([False])
    ticks = _DAY[dtype.time_unit] if isinstance(dtype, pl.Datetime) else 1
    inside = (values.to_physical() // ticks).is_between(_FIRST_DAY, _LAST_DAY)
    return ~inside.fill_null(True)


def _nothing(values: pl.Series, wanted: pl.DataType) -> pl.Series:
    return pl.Series(values.name, [None] * len(values), dtype=wanted)


def _where(keep: pl.Series, values: pl.Series) -> pl.Series:
    """Return values, null where a mask does not hold."""
    return pl.select(pl.when(keep).then(values)).to_series().alias(values.name)


def _lists(values: pl.Series, wanted: pl.List) -> pl.Series:
    inner: pl.DataType = wanted.inner  # type: ignore[assignment]
    cast = pl.element().map_batches(partial(lossless, wanted=inner), return_dtype=inner)
    made = values.list.eval(cast)
    whole = made.list.drop_nulls().list.len() == values.list.drop_nulls().list.len()
    return _where(whole, made).cast(wanted)


def _truths(values: pl.Series) -> pl.Series:
    if values.dtype == pl.String:
        words = values.str.strip_chars().str.to_lowercase()
        return _where(words.is_in(["true", "false"]), words == "true").alias(values.name)
    if values.dtype.is_numeric():
        numbers = values.cast(pl.Float64)
        return _where((numbers == 0) | (numbers == 1), numbers == 1).alias(values.name)
    return _nothing(values, pl.Boolean())


def _numbers(values: pl.Series, wanted: pl.DataType) -> pl.Series:
    if values.dtype == pl.String:
        text = values.str.strip_chars()
        text = _where(written_numbers(text), text)
        whole = text.cast(pl.Int128, strict=False)
        rough = text.cast(pl.Float64, strict=False)
        rough = _where(rough.is_finite() & (wanted.is_float() | (rough.abs() < _WHOLE)), rough)
        if wanted.is_float():
            return lossless(rough, wanted)
        return lossless(whole, wanted).fill_null(lossless(rough, wanted))
    if not values.dtype.is_numeric():
        return _nothing(values, wanted)
    made = values.cast(wanted, strict=False)
    if wanted.is_float() and not values.dtype.is_integer():
        source = values.cast(pl.Float64)
        return _where(made.is_finite() | ~source.is_finite(), made)
    back = made.cast(values.dtype, strict=False)
    return _where(back == values, made)


def _moments(values: pl.Series, wanted: pl.DataType) -> pl.Series:
    if values.dtype == pl.String:
        values = iso_moments(values)
    elif isinstance(values.dtype, pl.Datetime):
        if values.dtype.time_zone is not None:
            values = values.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    elif values.dtype != pl.Date:
        return _nothing(values, wanted)
    plain = pl.Datetime(wanted.time_unit) if isinstance(wanted, pl.Datetime) else wanted
    made = values.cast(plain, strict=False)
    made = _where(made.cast(values.dtype, strict=False) == values, made)
    zone = getattr(wanted, "time_zone", None)
    return made.dt.replace_time_zone("UTC").dt.convert_time_zone(zone) if zone else made
