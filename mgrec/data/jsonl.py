"""JSON lines: read fast, and line by line where the fast way says only that something is wrong."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any, NoReturn

import polars as pl

from mgrec.data.csvs import decoded
from mgrec.errors import DataError


def read(data: bytes, name: str, ids: Collection[str] = ()) -> pl.DataFrame:
    """Read one JSON object a line; keys may differ from line to line, blank lines do not count.

    Raises
    ------
    DataError
        If a line is no whole JSON object, or a column in ``ids`` mixes numbers and text.
    """
    try:
        frame = pl.read_ndjson(io.BytesIO(data), infer_schema_length=None)
    except pl.exceptions.PolarsError:
        # The fast reader does not name the line. The slow one does, or else finds only columns
        # that mix lists and objects, which are kept as JSON text.
        frame = _slowly(data, name)
    for column in ids:
        if column in frame.columns and frame.schema[column] == pl.String:
            _refuse_mixture(data, name, column)
    return frame


def line_of(data: bytes, row: int) -> int:
    """Return the line, from 1, of the object that ``read`` returned as ``row``."""
    for number, (line, _) in enumerate(_lines(data, "")):
        if number == row:
            return line
    raise IndexError(row)


def _lines(data: bytes, name: str) -> Iterator[tuple[int, str]]:
    """Yield every line that is not blank, with its number from 1."""
    for number, line in enumerate(decoded(data, name).split("\n"), 1):
        if line.strip():
            yield number, line


def _slowly(data: bytes, name: str) -> pl.DataFrame:
    """Parse line by line; raise for the first line that is wrong."""
    rows = [_object(line, number, name) for number, line in _lines(data, name)]
    columns = dict.fromkeys(key for row in rows for key in row)
    return pl.DataFrame([series(c, [row.get(c) for row in rows]) for c in columns])


def _object(line: str, number: int, name: str) -> dict[str, Any]:
    """Parse one line."""
    excerpt = repr(line.strip() if len(line) < 60 else f"{line.strip()[:50]}...")
    try:
        value = json.loads(line, parse_constant=_no_number)
    except ValueError as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        raise DataError(
            f"{name}, line {number}: found {excerpt} ({reason}), expected one whole JSON object"
        ) from None
    if not isinstance(value, dict):
        raise DataError(f"{name}, line {number}: found {excerpt}, expected a JSON object")
    return value


def _no_number(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON, null is")


def series(column: str, values: list[Any]) -> pl.Series:
    """Return a column of any values; what no column type holds becomes JSON text."""
    kinds = set(map(type, values)) - {type(None)}
    nested = not kinds.isdisjoint({list, dict})
    inner = {type(part) for value in values for part in value or ()} if kinds == {list} else {dict}
    if not nested or inner <= {str} or inner <= {int}:
        made = pl.Series(column, values, strict=False)
        if made.dtype != pl.Object:
            return made
    return pl.Series(column, [as_text(value) for value in values], dtype=pl.String)


def as_text(value: object) -> str | None:
    """Return text as it is, lists, objects and numbers as JSON, and anything else by its text."""
    if value is None or isinstance(value, str):
        return value
    plain = isinstance(value, list | tuple | dict | bool | int | float)
    return json.dumps(value, default=str) if plain else str(value)


def _refuse_mixture(data: bytes, name: str, column: str) -> None:
    """Raise if an id column that came out as text holds anything but text.

    The pattern only narrows the lines down (a nested object may hold the same key); the JSON
    parser decides.
    """
    lines = decoded(data, name).split("\n")
    begins = pl.Series(lines).str.extract(rf'"{re.escape(column)}"\s*:\s*(\S)')
    suspects = (begins.is_not_null() & ~begins.is_in(['"', "n"])).arg_true()
    mixed = any(not isinstance(json.loads(lines[row]).get(column), str | None) for row in suspects)
    if not mixed:
        return
    numbers, rows = zip(*_lines(data, name), strict=True)
    values = [json.loads(row).get(column) for row in rows]
    if (row := stranger(values)) is not None:
        raise DataError(
            f"{name}, line {numbers[row]}, column '{column}': found {values[row]!r:.60}"
            f" ({type_of(values[row])}), expected {type_of(first_of(values))} as above"
        )


def type_of(value: object) -> str:
    """Return the type of an id as a person calls it."""
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int):
        return "a whole number"
    if isinstance(value, str):
        return "text"
    return {float: "a decimal number", list: "a list", dict: "an object"}.get(
        type(value), type(value).__name__
    )


def first_of(values: Sequence[object]) -> object:
    """Return the first value that is there."""
    return next((value for value in values if value is not None), None)


def stranger(values: Sequence[object]) -> int | None:
    """Return the row of the first value that is of another type than the first, or None."""
    if len(set(map(type, values)) - {type(None)}) <= 1:
        return None
    expected = type_of(first_of(values))
    for row, value in enumerate(values):
        if value is not None and type_of(value) != expected:
            return row
    return None
