"""What a column means: ids, moments, numbers, whatever way they were written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mgrec.data import jsonl
from mgrec.data.tables import Table, short
from mgrec.errors import DataError

Kind = Literal["number", "text", "date", "truth", "list", "other"]
WORDS: Mapping[Kind, str] = {
    "number": "numbers",
    "text": "text",
    "date": "dates",
    "truth": "true and false",
    "list": "lists",
    "other": "what no condition reads",
}

# A whole number written so that reading and writing it gives the same text: 7, -7, not 007 or +7.
_WHOLE = r"^(0|-?[1-9]\d{0,18})$"
_PADDED = r"^\s*(0|-?[1-9]\d{0,18})(?:\.0+)?\s*$"
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_ISO = (
    r"^\s*(?P<date>\d{4}-\d{2}-\d{2})(?:[Tt ](?P<minute>\d{2}:\d{2})(?::(?P<second>\d{2}))?"
    r"(?:[.,](?P<fraction>\d{1,9}))?)?"
    r"\s?(?P<zone>[Zz]|UTC|GMT|[+-](?:0\d|1[0-8])(?::?[0-5]\d)?)?\s*$"
)
# Whole numbers that are dates, from 1900 to 2100: format of strptime, smallest, largest.
_DAYS = (
    ("%Y%m%d", 19000101, 21001231),
    ("%Y%m%d%H%M", 190001010000, 210012312359),
    ("%Y%m%d%H%M%S", 19000101000000, 21001231235959),
)
_REVERSED = (("%d%m%Y", 1011900, 31122100), ("%m%d%Y", 1011900, 12312100))  # not in order of time
# Types of scalars, besides numbers, that are saved and read unchanged.
_PLAIN = (
    pl.String,
    pl.Boolean,
    pl.Date,
    pl.Datetime,
    pl.Time,
    pl.Duration,
    pl.Binary,
    pl.Null,
)
# Smallest size (absolute) at which a number of seconds is taken for the finer unit: as seconds,
# 1e11 would be the year 5138; as milliseconds it is 1973.
_UNITS = (
    (1e17, 10**9, "nanoseconds"),
    (1e14, 10**6, "microseconds"),
    (1e11, 10**3, "milliseconds"),
)


def kind_of(dtype: pl.DataType) -> Kind:
    """Return what a column holds."""
    if isinstance(dtype, pl.List | pl.Array):
        inner = kind_of(dtype.inner)  # type: ignore[arg-type]
        return "other" if inner in ("list", "other") else "list"
    if dtype.is_numeric():
        return "number"
    if dtype in (pl.Date, pl.Datetime):
        return "date"
    return "text" if dtype == pl.String else "truth" if dtype == pl.Boolean else "other"


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
    missing = found.is_null()
    if found.dtype == pl.String:
        missing |= found.str.strip_chars() == ""
    if missing.any():
        place = table.place(int(missing.fill_null(True).arg_max() or 0), column)
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
    bare = _bare(found) if table.untyped and wanted == pl.Int64 else found
    cast = retyped(bare, wanted)
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
    """Return numbers as whole numbers if all of them are ids, else unchanged; see `keys.plain`."""
    exact = 2**24 if found.dtype == pl.Float32 else 2**53
    whole = found.cast(pl.Int64, strict=False)
    same = (whole.cast(found.dtype, strict=False) == found) & whole.is_between(1 - exact, exact - 1)
    return whole if same.fill_null(False).all() else found


def _bare(found: pl.Series) -> pl.Series:
    """Return whole numbers written as `` 7`` or ``7.0`` as ``7``; other text as it is."""
    return found.str.extract(_PADDED).fill_null(found)


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
    if (days := _days(table, found)) is not None:
        return _scaled(days.to_numpy(), 10**6, "dates such as 20240131")
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
    zone = part("zone").fill_null("Z").str.to_uppercase().str.replace("Z|UTC|GMT", "+00")
    digits = zone.str.replace(":", "").str.pad_end(5, "0")
    minutes = digits.str.slice(1, 2).cast(pl.Int64) * 60 + digits.str.slice(3, 2).cast(pl.Int64)
    offset = pl.when(digits.str.starts_with("-")).then(-minutes).otherwise(minutes)
    fraction = part("fraction").fill_null("0").str.pad_end(6, "0").str.slice(0, 6).cast(pl.Int64)
    moment = clock.str.to_datetime("%Y-%m-%d %H:%M:%S", time_unit="us", strict=False)
    ticks = moment.to_physical() + fraction - offset * 60 * 10**6
    return pl.select(parts=found.str.extract_groups(_ISO)).select(ticks).to_series()


def _days(table: Table, found: pl.Series) -> pl.Series | None:
    """Return numbers such as 20240131 as microseconds since 1970; None if they are not dates.

    Raises
    ------
    DataError
        If most numbers are such dates and one is not, or all have the day or month first.
    """
    for form in _DAYS:
        ticks = _parsed(found, *form)
        if ticks.null_count() <= len(ticks) // 2:
            if ticks.null_count():
                row = int(ticks.is_null().arg_max() or 0)
                raise DataError(
                    f"{table.place(row, 'timestamp')}: found {short(found[row])}, expected a date"
                    f" such as {short(found[int(ticks.is_not_null().arg_max() or 0)])} in every row"
                )
            return ticks
    for form in _REVERSED:
        if len(found) > 2 and not _parsed(found, *form).null_count():
            raise DataError(
                f"{table.place(0, 'timestamp')}: found {short(found[0])}, which looks like a date"
                f" ({form[0]}), expected the year first, such as 20240131"
            )
    return None


def _parsed(found: pl.Series, form: str, least: int, largest: int) -> pl.Series:
    """Return Int64 microseconds since 1970 of numbers read as dates, null if not a date."""
    whole = found.cast(pl.Int64, strict=False)
    fits = (whole == found) & whole.is_between(least, largest)
    if int(fits.sum() or 0) <= len(found) // 2:  # saves formatting the numbers
        return pl.repeat(None, len(found), dtype=pl.Int64, eager=True)
    text = pl.select(pl.when(fits).then(whole)).to_series().cast(pl.String)
    text = text.str.zfill(len(str(largest)))  # 1022024 is 01022024
    if "%H" in form:
        return text.str.to_datetime(form, time_unit="us", strict=False).to_physical()
    return text.str.to_date(form, strict=False).cast(pl.Datetime("us")).to_physical()


def is_iso(found: pl.Series) -> bool:
    """Whether all texts are ISO dates or moments."""
    return not _iso(found).null_count()


def is_day(found: pl.Series) -> bool:
    """Whether all values are dates written as whole numbers or their digits, such as 20240131."""
    numbers = found
    if found.dtype == pl.String:
        numbers = found.cast(pl.Int64, strict=False)
    return any(not _parsed(numbers, *form).null_count() for form in _DAYS)


def _refuse_moment(table: Table, found: pl.Series, wrong: pl.Series) -> None:
    row = int(wrong.arg_max() or 0)
    shown = "nothing" if found[row] is None else short(found[row])
    raise DataError(
        f"{table.place(row, 'timestamp')}: found {shown}, expected Unix seconds or milliseconds,"
        " an ISO date such as 2024-05-17, 2024-05-17T18:30:00Z or 2024-05-17 18:30:00+02, or"
        " 20240517, the same way in every row"
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
        else pl.repeat(None, len(found), dtype=pl.Float64, eager=True)
    )
    wrong = (cast.is_null() | cast.is_infinite()) & found.is_not_null()
    if wrong.any():
        row = int(wrong.arg_max() or 0)
        place = table.place(row, column)
        raise DataError(f"{place}: found {short(found[row])}, expected a number below 1e308")
    return cast.cast(pl.Float64).fill_nan(None)


def refuse_infinity(table: Table) -> None:
    """Raise for the first infinite number of a column of floats, such as 1e999 in CSV."""
    for column, dtype in table.frame.schema.items():
        values = table.frame[column]
        inner = dtype.inner if isinstance(dtype, pl.List | pl.Array) else dtype
        if not inner.is_float():
            continue
        if inner is dtype:
            wrong = values.is_infinite()
        else:
            lists = values.arr.to_list() if isinstance(dtype, pl.Array) else values
            wrong = lists.list.eval(pl.element().is_infinite()).list.any()
        if wrong.any():
            row = int(wrong.fill_null(False).arg_max() or 0)
            raise DataError(
                f"{table.place(row, column)}: found {short(values[row])}, expected finite numbers"
            )


def stray(values: pl.Series) -> int | None:
    """Return the row of the first text that is not a number, if at least half of them are."""
    if values.dtype != pl.String:
        return None
    number = values.str.contains(_NUMBER)
    strange = ~number & (values.str.strip_chars() != "")
    if not strange.any() or 2 * int(number.sum() or 0) < values.count():
        return None
    return int(strange.fill_null(False).arg_max() or 0)


def texts(frame: pl.DataFrame, columns: Sequence[str]) -> pl.Series:
    """Return String [rows]: columns joined by ". ", lists within by ", "; null where empty.

    Values have the same text wherever they are shown or encoded.
    """
    parts: list[pl.Expr] = []
    for column in columns:
        part = _words(plain(frame[column])).alias(f"part {len(parts)}").str.strip_chars()
        parts.append(pl.when(part != "").then(part))
    if not parts:
        return pl.Series("text", [None] * len(frame), dtype=pl.String)
    joined = pl.concat_str(parts, separator=". ", ignore_nulls=True)
    return pl.select(text=pl.when(joined != "").then(joined)).to_series()


def _words(values: pl.Series) -> pl.Series:
    """Return plain values as text: lists joined by ", "."""
    dtype = values.dtype
    if isinstance(dtype, pl.List) and dtype.inner not in (pl.Binary, pl.Duration):
        return values.cast(pl.List(pl.String)).list.drop_nulls().list.join(", ")
    if isinstance(dtype, pl.List) or dtype in (pl.Binary, pl.Duration):
        return pl.Series(values.name, jsonl.texts(values.to_list(), values.name), dtype=pl.String)
    return values.cast(pl.String)


def iso_moments(found: pl.Series) -> pl.Series:
    """Return ISO 8601 text as Datetime in UTC, null if it is not ISO 8601."""
    return _iso(found).cast(pl.Datetime("us")).alias(found.name)


def written_numbers(found: pl.Series) -> pl.Series:
    """Return Boolean [rows]: whether a text is a number."""
    return found.str.contains(_NUMBER)


def plain_frame(frame: pl.DataFrame, name: str = "") -> pl.DataFrame:
    """Return a frame of `plain` columns; `name` is what errors call it."""
    return frame.with_columns(plain(column, name) for column in frame)


def shaped(values: pl.Series, wanted: pl.DataType) -> pl.Series:
    """Return text as lists of one element if lists are wanted, and lists as text if text is."""
    if isinstance(wanted, pl.List) and values.dtype == pl.String:
        row = pl.col(values.name)
        return values.to_frame().select(pl.when(row.is_not_null()).then(pl.concat_list(row)))[:, 0]
    if wanted == pl.String and isinstance(values.dtype, pl.List):
        return texts(values.to_frame(), [values.name]).alias(values.name)
    return values


def plain(values: pl.Series, name: str = "") -> pl.Series:
    """Return a column in a type that can be saved: scalars, or lists of them.

    Objects and deeper nested values become text, one JSON value per row. Categories become text.

    Raises
    ------
    DataError
        If a value nests too deep.
    """
    dtype = values.dtype
    if isinstance(dtype, pl.Array):
        return plain(values.arr.to_list(), name)
    if dtype in (pl.Categorical, pl.Enum):
        return values.cast(pl.String)
    if dtype in _PLAIN or dtype.is_numeric():
        return values
    if isinstance(dtype, pl.Struct):
        rows: Iterable[object] = _rows_of(values)
    elif isinstance(dtype, pl.List):
        inner = dtype.inner
        if inner in _PLAIN or inner.is_numeric():
            return values
        if inner in (pl.Categorical, pl.Enum):
            return values.cast(pl.List(pl.String))
        parts = values.to_frame().iter_slices(1024)
        rows = (row for part in parts for row in part.to_series().to_list())
    else:  # Python objects, and extension types
        return jsonl.series(values.name, values.to_list(), name)
    return pl.Series(values.name, jsonl.texts(rows, values.name, name), dtype=pl.String)


def _rows_of(structs: pl.Series) -> list[dict[str, Any]]:
    """Return each row's object without nulls: of a thousand keys, a row may have ten."""
    rows: list[dict[str, Any]] = [{} for _ in range(len(structs))]
    for field in structs.struct.fields:
        values = structs.struct.field(field)
        there = values.is_not_null().arg_true()
        for row, value in zip(there, values.gather(there).to_list(), strict=True):
            rows[row][field] = value
    return rows
