"""JSON lines: read fast, and line by line where the fast way says only that something is wrong."""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, NoReturn

import numpy as np
import polars as pl

from mgrec.data import literals
from mgrec.data.csvs import decoded
from mgrec.errors import DataError, in_one_line

# Python types that a column can hold unchanged.
_SCALARS = {str, int, float, bool, bytes, date, datetime, time, timedelta, Decimal}
_INNER = re.compile(rb"[:\[,]\s*\{")  # an object as a value

MAX_DEPTH = 64  # of brackets in a line; Polars crashes at about a thousand
_BLOCK = 16 << 20


def read(data: bytes, name: str, ids: Collection[str] = ()) -> pl.DataFrame:
    """Read one JSON object a line; keys may differ from line to line, blank lines do not count.

    Raises
    ------
    DataError
        If a line is no whole JSON object, is nested more than `MAX_DEPTH` deep, has a number beyond
        64-bit floats, or a column in ``ids`` mixes numbers and text.
    """
    _refuse_depth(data, name)
    try:
        # The fast reader gives all objects one type with the keys of all rows: the memory is
        # rows times keys.
        quick = not _objects(data)
        frame = pl.read_ndjson(io.BytesIO(data), infer_schema_length=None) if quick else None
    except pl.exceptions.PolarsError:
        # The fast reader does not name the line. The slow one does, and reads columns of mixed
        # types.
        frame = None
    if frame is None or any(_lists_as_text(data, column) for column in frame):
        frame = _slowly(data, name)
    for column in ids:
        if column in frame.columns and frame.schema[column] == pl.String:
            _refuse_mixture(data, name, column)
    return frame


def _refuse_depth(data: bytes, name: str) -> None:
    """Raise for the first line nested too deeply; only lines with many brackets are parsed."""
    start, line = 0, 1
    while start < len(data):
        end = data.find(b"\n", min(start + _BLOCK, len(data))) + 1 or len(data)
        block = np.frombuffer(data, np.uint8, end - start, start)
        breaks = np.flatnonzero(block == ord("\n"))
        starts = np.concatenate([[0], breaks[breaks < len(block) - 1] + 1])
        opening = ((block == ord("[")) | (block == ord("{"))).view(np.uint8)
        many = np.flatnonzero(np.add.reduceat(opening, starts, dtype=np.int64) > MAX_DEPTH)
        for suspect in many.tolist():
            first = start + int(starts[suspect])
            text = data[first:].partition(b"\n")[0].decode(errors="replace")
            if literals.depth(text) > MAX_DEPTH:
                raise DataError(
                    f"{name}, line {line + suspect}: found {excerpt(text)}, nested over {MAX_DEPTH}"
                    " deep, expected a flat JSON object"
                )
        start, line = end, line + len(breaks)


def excerpt(line: str) -> str:
    """Return a line's beginning, quoted."""
    return repr(line.strip() if len(line) < 60 else f"{line.strip()[:50]}...")


def _objects(data: bytes) -> bool:
    """Whether there may be objects inside the lines' own."""
    if data.count(b"{") <= data.count(b"\n") + 1:
        return False
    return _INNER.search(data) is not None


def _lists_as_text(data: bytes, column: pl.Series) -> bool:
    """Whether the fast reader wrote lists as text, as it does where a column has both."""
    if column.dtype != pl.String or not column.str.starts_with("[").any():
        return False
    key = re.escape(json.dumps(column.name, ensure_ascii=False).encode())
    return re.search(key + rb"\s*:\s*\[", data) is not None


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
    rows = []
    objects: set[str] = set()  # columns that have some
    for number, line in _lines(data, name):
        row = _object(line, number, name)
        objects.update(k for k, v in row.items() if isinstance(v, dict))
        try:  # as text now: Python objects take ten times the memory
            rows.append({k: as_text(v) if isinstance(v, dict) else v for k, v in row.items()})
        except RecursionError:
            raise DataError(
                f"{name}, line {number}: found values nested too deeply, expected at most"
                f" {MAX_DEPTH} levels"
            ) from None
    for row in rows:
        row.update((k, as_text(row[k])) for k in objects & row.keys() if isinstance(row[k], list))
    return of_records(rows, name)


def of_records(rows: Sequence[Mapping[Any, Any]], name: str) -> pl.DataFrame:
    """Return rows as a frame; a key that a row lacks is null."""
    columns = dict.fromkeys(key for row in rows for key in row)
    return pl.DataFrame([series(str(c), [row.get(c) for row in rows], name) for c in columns])


def _object(line: str, number: int, name: str) -> dict[str, Any]:
    """Parse one line."""
    try:
        value = json.loads(line, parse_constant=_no_number, parse_float=_finite)
    except ValueError as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        raise DataError(
            f"{name}, line {number}: found {excerpt(line)} ({reason}), expected one whole JSON"
            " object"
        ) from None
    if not isinstance(value, dict):
        raise DataError(f"{name}, line {number}: found {excerpt(line)}, expected a JSON object")
    return value


def _no_number(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON, null is")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text:.40} is too large for a number")
    return number


def series(column: str, values: Sequence[Any], name: str = "") -> pl.Series:
    """Return a column of any values.

    Scalars of one type keep it, and so do lists of them. Scalars of mixed types become text, and
    texts beside lists of scalars become lists of one. Deeper nested values become text, one JSON
    value per row.

    Parameters
    ----------
    name : what errors call the table
    """
    column = as_text(column) or ""
    cells = [builtin(value) for value in values]
    if set(map(type, cells)) - {str, int, bool, list, dict, type(None)}:
        cells = [None if _missing(cell) else cell for cell in cells]
    kinds = set(map(type, cells)) - {type(None)}
    if kinds == {str, list} and all(map(_flat, cells)):
        cells = [[cell] if isinstance(cell, str) else cell for cell in cells]
        kinds = {list}
    if kinds == {list}:
        made = _lists(column, cells)
    elif kinds <= {int, float} or (len(kinds) <= 1 and kinds <= _SCALARS):
        made = _typed(column, cells, pl.Float64() if kinds == {int, float} else None)
    else:
        made = None
    if made is None:
        made = pl.Series(column, texts(cells, column, name), dtype=pl.String)
    return made


def _flat(cell: object) -> bool:
    """Whether a cell is no list, or one of scalars."""
    scalars = str | int | float | bool | None
    return not isinstance(cell, list) or all(isinstance(part, scalars) for part in cell)


def texts(cells: Iterable[object], column: str, name: str = "") -> list[str | None]:
    """Return `as_text` of every cell.

    Raises
    ------
    DataError
        If a cell is nested too deeply, or has no text.
    """
    found: list[str | None] = []
    for row, cell in enumerate(cells):
        try:
            found.append(as_text(cell))
        except Exception as error:  # the methods of an unknown object may raise anything
            where = f"{name}, row {row + 1}, column '{column}'".removeprefix(", ")
            if isinstance(error, RecursionError):
                raise DataError(
                    f"{where}: found values nested too deeply, expected fewer levels"
                ) from None
            raise DataError(
                f"{where}: found a value of type {type(cell).__name__} that has no text"
                f" ({in_one_line(error)[:80]}), expected text, a number, a list or an object"
            ) from None
    return found


def _typed(column: str, cells: list[Any], dtype: pl.DataType | None) -> pl.Series | None:
    """Return cells in a type that holds all of them, or None."""
    try:
        if any(isinstance(cell, Decimal) and cell.is_infinite() for cell in cells):
            return None
        made = pl.Series(column, cells, dtype, strict=False)
    except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError):
        return None
    lost = made.null_count() != sum(cell is None for cell in cells)
    return None if lost or made.dtype in (pl.Object, pl.Struct) else made


def _lists(column: str, cells: list[list[Any] | None]) -> pl.Series | None:
    """Return lists of scalars as a list column, or None if they contain nested values."""
    kinds = {type(part) for cell in cells for part in cell or ()} - {type(None)}
    if not kinds:
        return pl.Series(column, cells, pl.List(pl.Null))
    if not kinds <= {int, float, bool, str}:
        return None
    if len(kinds) == 1 or kinds == {int, float}:
        inner = {float: pl.Float64(), bool: pl.Boolean(), str: pl.String()}
        dtype = pl.Float64() if len(kinds) > 1 else inner.get(kinds.pop(), pl.Int64())
        if dtype != pl.String:
            try:
                return pl.Series(column, cells, pl.List(dtype))
            except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError):
                pass  # a number too large
    try:
        words = [None if cell is None else [as_text(part) for part in cell] for cell in cells]
    except ValueError:  # a number of thousands of digits
        return None
    return pl.Series(column, words, pl.List(pl.String))


def as_text(value: object) -> str | None:
    """Return the text of any value; None if it is missing or empty.

    Lists and objects become JSON without nulls and empty objects. Bytes have no text.

    Raises
    ------
    RecursionError
        If it is nested too deeply.
    """
    bare = _bare(value)
    if bare is None or isinstance(bare, str):
        return bare
    return json.dumps(bare, ensure_ascii=False)


def _bare(value: object) -> Any:
    """Return a value as JSON types, without nulls and empty objects; None if nothing remains."""
    value = builtin(value)
    if isinstance(value, str):
        # A lone surrogate has no UTF-8 encoding.
        return value if value.isascii() else str(value).encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        pairs = ((_bare(str(key)), _bare(inner)) for key, inner in value.items())
        return {key: inner for key, inner in pairs if inner is not None} or None
    if isinstance(value, list):
        return [inner for inner in map(_bare, value) if inner is not None] or None
    if value is None or isinstance(value, bytes | bytearray | memoryview) or _missing(value):
        return None
    return value if isinstance(value, bool | int | float) else str(value)


def _missing(value: object) -> bool:
    """Whether a value is NaN, or a missing value of pandas."""
    if isinstance(value, float | Decimal):
        return math.isnan(value)
    return type(value).__name__ in ("NAType", "NaTType")


def builtin(value: Any) -> Any:
    """Return an array or a sequence as a list, a NumPy number as Python's; Decimal NaN is None."""
    if isinstance(value, np.datetime64 | np.timedelta64):
        return value.astype(f"{value.dtype.kind}8[us]").item()
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, pl.Series):
        return value.to_list()
    if isinstance(value, Decimal) and value.is_nan():
        return None
    if isinstance(value, set | frozenset):
        return sorted(value, key=str)
    return list(value) if isinstance(value, tuple) else value


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
