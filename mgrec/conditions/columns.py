"""Tests of one column: which rows hold, by the column's type. What is missing stays unknown."""

from __future__ import annotations

import math
import operator
from datetime import UTC, date, datetime
from typing import Any

import polars as pl

from mgrec.conditions.grammar import Test, Value
from mgrec.conditions.tokens import refuse
from mgrec.data.casts import outside_calendar
from mgrec.data.columns import WORDS, Kind, kind_of, stray
from mgrec.data.tables import short
from mgrec.errors import RequestError

_SIGNS = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_HOW = {  # what may be asked of a column of a kind, beside "null"
    "number": (*_SIGNS, "in"),
    "text": (*_SIGNS, "in", "contains"),
    "date": (*_SIGNS, "in"),
    "truth": ("==", "!=", "in", "true"),
    "list": ("in", "contains"),
    "other": (),
}


def holds(test: Test, column: pl.Series) -> pl.Series:
    """Return Boolean [rows]: where a test holds, null where the column says nothing.

    Raises
    ------
    RequestError
        If the column's type has no such test, or a value is of another type.
    """
    kind = kind_of(column.dtype)
    if test.how == "null":
        return known(column).is_null()
    if test.how not in _HOW[kind]:
        raise refuse(test.column, f"{_asked(test.how)}; column '{column.name}' has {WORDS[kind]}")
    if kind == "list":
        lists = column.arr.to_list() if isinstance(column.dtype, pl.Array) else column
        inner = kind_of(lists.dtype.inner)  # type: ignore[attr-defined]
        wanted = [_read(value, inner, column) for value in test.values]
        among = pl.element().map_batches(lambda part: _among(known(part), wanted))
        return lists.list.eval(among).list.any()
    values = [_read(value, kind, column) for value in test.values]
    column = known(column)
    if test.how == "true":
        return column
    if test.how == "in":
        return _among(column, values)
    if test.how == "contains":
        return column.str.contains(values[0], literal=True)
    return _compared(column, test.how, values[0])


def known(column: pl.Series) -> pl.Series:
    """Return a column as it is compared: exact numbers, moments without a zone.

    NaN becomes null, and so do dates outside the years 1 to 9999, on which Polars panics.
    """
    if column.dtype.is_float():
        return column.fill_nan(None)
    if isinstance(column.dtype, pl.Decimal):
        return column.cast(pl.Float64)
    if column.dtype.is_integer():
        return column.cast(pl.Int128, strict=False)
    if (strange := outside_calendar(column)).any():
        column = pl.select(pl.when(~strange).then(column)).to_series().alias(column.name)
    if isinstance(column.dtype, pl.Datetime) and column.dtype.time_zone is not None:
        column = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    if column.dtype in (pl.Date, pl.Datetime):
        return column.cast(pl.Datetime("us"))
    return column


def _compared(column: pl.Series, sign: str, value: Any) -> pl.Series:
    """Compare with one value; whole numbers and a decimal one roughly, as both are made floats."""
    exact = not (column.dtype == pl.Int128 and isinstance(value, float))
    literal = pl.Series([value], dtype=column.dtype if exact else pl.Float64)
    found: pl.Series = _SIGNS[sign](column, literal)
    return found


def _among(column: pl.Series, values: list[Any]) -> pl.Series:
    if column.dtype == pl.Int128:  # a decimal number is none of them
        values = [value for value in values if isinstance(value, int)]
    if not values:
        return pl.select(pl.when(column.is_not_null()).then(False)).to_series()
    return column.is_in(pl.Series(values, dtype=column.dtype).implode())


def _read(value: Value, kind: Kind, column: pl.Series) -> Any:
    """Return a literal as the value of a kind."""
    found = value.value
    if kind == "number" and isinstance(found, int | float) and not isinstance(found, bool):
        return _number(found)
    if kind == "truth" and isinstance(found, bool):
        return found
    if kind == "text" and isinstance(found, str):
        return found
    if kind == "date" and isinstance(found, str):
        return _moment(value, found)
    raise _other_kind(value, kind, column)


def _number(found: int | float) -> int | float:
    """Keep whole numbers whole up to 2**100; what lies beyond is compared roughly."""
    if isinstance(found, float):
        whole = math.isfinite(found) and found.is_integer() and abs(found) < 2**100
        return int(found) if whole else found
    return found if abs(found) < 2**100 else math.inf if found > 0 else -math.inf


def _moment(value: Value, text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text.strip())
        return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
    except (ValueError, OverflowError):
        raise refuse(value.token, f"a date such as {date(2024, 5, 17)}") from None


def _other_kind(value: Value, kind: Kind, column: pl.Series) -> RequestError:
    one = {"number": "a number", "text": "a text in quotes", "truth": "true or false"}
    expected = one.get(kind, "a date in quotes")
    why = ""
    if isinstance(value.value, int | float) and (row := stray(column)) is not None:
        why = f": it is text, since row {row + 1} of the items has {short(column[row])}"
    return refuse(value.token, f"{expected}, as column '{column.name}' has{why}")


def _asked(how: str) -> str:
    names = {"contains": "a column of lists or text before 'contains'", "in": "no 'in' here"}
    names["true"] = "a comparison, or a column of true and false"
    return names.get(how, f"a column that can be compared by '{how}'")
