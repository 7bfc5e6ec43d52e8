"""What a column means: ids, moments, numbers, whatever way they were written."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mgrec.data.jsonl import as_text
from mgrec.data.tables import Table, short
from mgrec.errors import DataError

# A whole number written so that reading and writing it gives the same text: 7, -7, not 007 or +7.
_WHOLE = r"^(0|-?[1-9]\d{0,18})$"
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_ISO = (
    r"^\s*(?P<date>\d{4}-\d{2}-\d{2})(?:[T ](?P<minute>\d{2}:\d{2})(?::(?P<second>\d{2}))?"
    r"(?:[.,](?P<fraction>\d{1,9}))?)?\s?(?P<zone>Z|[+-]\d{2}:?\d{2})?\s*$"
)
# Smallest size (absolute) at which a number of seconds is taken for the finer unit: as seconds,
# 1e11 would be the year 5138; as milliseconds it is 1973.
_UNITS = (
    (1e17, 10**9, "nanoseconds"),
    (1e14, 10**6, "microseconds"),
    (1e11, 10**3, "milliseconds"),
)


def ids(table: Table, column: str, like: pl.Series | None = None) -> pl.Series:
    """Return a column of ids, Int64 or String.

    Parameters
    ----------
    table : Table
    column : str
    like : Series of ids or None
        Ids whose type is taken over (the catalogue's). Without, the column's own type stands; in
        formats without types it is Int64 where every id is a plainly written whole number.

    Raises
    ------
    DataError
        If an id is missing, is neither whole number nor text, or does not fit the type.
    """
    table.require(column)
    found = table.frame[column]
    if found.null_count() or (found.dtype == pl.String and (found == "").any()):
        missing = found.is_null() | ((found == "") if found.dtype == pl.String else False)
        place = table.place(int(missing.arg_max() or 0), column)
        raise DataError(f"{place}: found no id, expected a whole number or text")
    if found.dtype.is_float() or found.dtype.is_decimal():
        found = _whole(found)
    if not (found.dtype.is_integer() or found.dtype == pl.String):
        decimal = found.dtype.is_float()
        row = int((found % 1 != 0).arg_max() or 0) if decimal else 0
        kind = "a decimal number" if decimal else str(found.dtype)
        raise DataError(
            f"{table.place(row, column)}: found {short(found[row])} ({kind}),"
            " expected ids that are whole numbers or text"
        )
    wanted = like.dtype if like is not None else pl.Int64()
    cast = retyped(found, wanted)
    if like is None and found.dtype == pl.String and (cast.null_count() or not table.untyped):
        return found.alias(column)
    if cast.null_count():
        row = int(cast.is_null().arg_max() or 0)
        than = "" if like is None else ", as the catalogue's ids are"
        raise DataError(
            f"{table.place(row, column)}: found {short(found[row])},"
            f" expected a whole number below 2**63{than}"
        )
    return cast.alias(column)


def _whole(found: pl.Series) -> pl.Series:
    """Return numbers that are all ids as whole numbers, others as they are; see `keys.plain`."""
    exact = 2**24 if found.dtype == pl.Float32 else 2**53
    whole = found.cast(pl.Int64, strict=False)
    same = (whole.cast(found.dtype, strict=False) == found) & whole.is_between(1 - exact, exact - 1)
    return whole if same.fill_null(False).all() else found


def kind(ids: pl.Series) -> str:
    """Return the type of ids as a person calls it."""
    return "whole numbers" if ids.dtype == pl.Int64 else "text"


def retyped(found: pl.Series, wanted: pl.DataType) -> pl.Series:
    """Cast ids between whole numbers and text; null where that would not lead back to the same."""
    if found.dtype == pl.String and wanted == pl.Int64:
        plain = pl.when(found.str.contains(_WHOLE)).then(found)
        return pl.select(plain.cast(pl.Int64, strict=False)).to_series()
    return found.cast(wanted, strict=False)


def positions(wanted: pl.Series, among: pl.Series) -> NDArray[np.int64]:
    """Return int64 [wanted]: where each id stands in ``among``, -1 where it does not."""
    left = pl.DataFrame({"id": wanted})
    right = pl.DataFrame({"id": among}).with_row_index("position")
    joined = left.join(right, on="id", how="left", maintain_order="left")
    return joined["position"].cast(pl.Int64).fill_null(-1).to_numpy()


def moments(table: Table) -> tuple[NDArray[np.generic], NDArray[np.int64], str]:
    """Read column ``timestamp``.

    Returns
    -------
    order : [rows]
        Numbers that sort as finely as the file tells the moments apart.
    seconds : int64 [rows]
        Unix seconds, rounded down.
    unit : str
        What the column was taken for, in words.

    Raises
    ------
    DataError
        If a moment is missing, a word, or no date there is.
    """
    found = table.frame["timestamp"]
    if found.null_count():
        _refuse_moment(table, found, found.is_null())
    if isinstance(found.dtype, pl.Date | pl.Datetime):
        ticks = found.cast(pl.Datetime("us", getattr(found.dtype, "time_zone", None)))
        return _scaled(ticks.to_physical().to_numpy(), 10**6, "dates and times")
    if found.dtype == pl.String:
        plain = found.str.contains(_NUMBER)
        if plain[0]:
            if not plain.all():
                _refuse_moment(table, found, ~plain)
            exact = found.cast(pl.Int64, strict=False)
            found = found.cast(pl.Float64) if exact.null_count() else exact
        else:
            ticks = _iso(found)
            if ticks.null_count():
                _refuse_moment(table, found, ticks.is_null())
            return _scaled(ticks.to_numpy(), 10**6, "ISO dates and times, UTC where no zone is")
    if not found.dtype.is_numeric():
        _refuse_moment(table, found, pl.Series([True]))
    if found.dtype.is_float() and not found.is_finite().all():
        _refuse_moment(table, found, ~found.is_finite())
    ticks = found.cast(pl.Float64 if found.dtype.is_float() else pl.Int64, strict=False)
    outside = ticks.is_null() | (ticks.cast(pl.Float64).abs() >= 1e20)
    if outside.any():
        _refuse_moment(table, found, outside)
    largest = float(ticks.cast(pl.Float64).abs().max() or 0)  # type: ignore[arg-type]
    for least, per_second, unit in _UNITS:
        if largest >= least:
            return _scaled(ticks.to_numpy(), per_second, f"Unix {unit}")
    return _scaled(ticks.to_numpy(), 1, "Unix seconds")


def _scaled(
    ticks: NDArray[np.generic], per_second: int, unit: str
) -> tuple[NDArray[np.generic], NDArray[np.int64], str]:
    return ticks, np.floor_divide(ticks, per_second).astype(np.int64), unit


def _iso(found: pl.Series) -> pl.Series:
    """Return Int64 microseconds since 1970 UTC of ISO 8601 text, null where it is none."""
    part = pl.col("parts").struct.field
    clock = pl.format(
        "{} {}:{}",
        part("date"),
        part("minute").fill_null("00:00"),
        part("second").fill_null("00"),
    )
    digits = part("zone").str.replace("Z", "+00:00").str.replace(":", "").fill_null("+0000")
    minutes = digits.str.slice(1, 2).cast(pl.Int64) * 60 + digits.str.slice(3, 2).cast(pl.Int64)
    offset = pl.when(digits.str.starts_with("-")).then(-minutes).otherwise(minutes)
    fraction = part("fraction").fill_null("0").str.pad_end(6, "0").str.slice(0, 6).cast(pl.Int64)
    moment = clock.str.to_datetime("%Y-%m-%d %H:%M:%S", time_unit="us", strict=False)
    ticks = moment.to_physical() + fraction - offset * 60 * 10**6
    return pl.select(parts=found.str.extract_groups(_ISO)).select(ticks).to_series()


def _refuse_moment(table: Table, found: pl.Series, wrong: pl.Series) -> None:
    row = int(wrong.arg_max() or 0)
    shown = "nothing" if found[row] is None else short(found[row])
    raise DataError(
        f"{table.place(row, 'timestamp')}: found {shown}, expected Unix seconds or milliseconds,"
        " or an ISO date such as 2024-05-17 or 2024-05-17T18:30:00Z, the same way in every row"
    )


def numbers(table: Table, column: str) -> pl.Series:
    """Return a column of numbers as Float64, null where none is given.

    Raises
    ------
    DataError
        If something else stands there.
    """
    found = table.frame[column]
    readable = found.dtype.is_numeric() or found.dtype in (pl.String, pl.Null)
    cast = (
        found.cast(pl.Float64, strict=False)
        if readable
        else pl.repeat(None, len(found), eager=True)
    )
    wrong = cast.is_null() & found.is_not_null()
    if wrong.any():
        row = int(wrong.arg_max() or 0)
        place = table.place(row, column)
        raise DataError(f"{place}: found {short(found[row])}, expected a number")
    return cast.cast(pl.Float64).fill_nan(None)


def texts(frame: pl.DataFrame, columns: tuple[str, ...]) -> pl.Series:
    """Return String [rows]: columns joined by ". ", lists within by ", "; null where empty."""
    parts: list[pl.Expr] = []
    for column in columns:
        part = _words(frame[column]).alias(f"part {len(parts)}").str.strip_chars()
        parts.append(pl.when(part != "").then(part))
    if not parts:
        return pl.Series("text", [None] * len(frame), dtype=pl.String)
    joined = pl.concat_str(parts, separator=". ", ignore_nulls=True)
    return pl.select(text=pl.when(joined != "").then(joined)).to_series()


def _words(values: pl.Series) -> pl.Series:
    """Return values as text: lists joined by ", ", what is nested deeper as JSON."""
    if isinstance(values.dtype, pl.Array):
        values = values.arr.to_list()
    if isinstance(values.dtype, pl.List) and not values.dtype.inner.is_nested():
        return values.cast(pl.List(pl.String)).list.drop_nulls().list.join(", ")
    if values.dtype.is_nested() or values.dtype in (pl.Object, pl.Binary, pl.Duration):
        return pl.Series([as_text(value) for value in values.to_list()], dtype=pl.String)
    return values.cast(pl.String)


def iso_moments(found: pl.Series) -> pl.Series:
    """Return ISO 8601 text as moments, Datetime in UTC; null where it is none."""
    return _iso(found).cast(pl.Datetime("us")).alias(found.name)


def written_numbers(found: pl.Series) -> pl.Series:
    """Return Boolean [rows]: where text is written as a number."""
    return found.str.contains(_NUMBER)
