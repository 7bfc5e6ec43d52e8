"""CSV: read fast, and line by line where the fast way says only that something is wrong."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Iterator

import polars as pl

from mgrec.errors import DataError

BOM = b"\xef\xbb\xbf"
# A field that begins like a zero-padded number.
_PADDED = re.compile(rb'(?:^|[,"\n])\s*[+-]?0\d')


def read(data: bytes, name: str, ids: Collection[str] = ()) -> pl.DataFrame:
    """Read CSV with a header; columns in ``ids`` stay text, the others get the type they show.

    Whole numbers with leading zeros, such as 007, are text.

    Raises
    ------
    DataError
        If a line has too many fields, a quote does not close, a column is there twice, or the
        text is not UTF-8.
    """
    first = data.removeprefix(BOM).lstrip().split(b"\n", 1)[0]
    header = _header(decoded(first, name), name)
    for column in header:
        if header.count(column) > 1:
            raise DataError(f"{name}, line 1: column '{column}' stands there twice, expected once")
    as_text = {column for column in header if column in ids}
    try:
        return _typed(data, as_text)
    except pl.exceptions.PolarsError:
        # The fast reader does not name the line. The slow one does, or else (an inch sign inside
        # a bare field) sees nothing wrong, and then what it understood is what counts.
        plain = _rewritten(data, name)
    try:
        return _typed(plain, as_text)
    except pl.exceptions.PolarsError as error:
        raise DataError(f"{name}: not CSV: {str(error).splitlines()[0]}") from None


def _header(line: str, name: str) -> list[str]:
    """Return the names of the columns."""
    if "\r" in line.strip():
        raise DataError(
            f"{name}: found lines that end in a carriage return alone, expected line feeds"
        )
    try:
        return next(csv.reader([line]), [])
    except csv.Error as error:
        raise DataError(f"{name}, line 1: not CSV: {error}") from None


def _typed(data: bytes, as_text: set[str]) -> pl.DataFrame:
    """Read with inferred types, but columns in `as_text` and zero-padded numbers as text."""
    texts = dict.fromkeys(as_text, pl.String())
    frame = pl.read_csv(data, infer_schema_length=None, schema_overrides=texts)
    numbers = [c for c, dtype in frame.schema.items() if dtype.is_integer()]
    if not numbers or not _PADDED.search(data):
        return frame
    written = pl.read_csv(data, columns=numbers, infer_schema=False)
    padded = [c for c in numbers if written[c].str.contains(r"^\s*[+-]?0\d").any()]
    return frame.with_columns(written.select(padded))


def _records(data: bytes, name: str) -> Iterator[tuple[int, list[str]]]:
    """Yield every record, the header first, with the line on which it begins."""
    reader = csv.reader(io.StringIO(decoded(data, name), newline=""), strict=True)
    line = 1
    try:
        for record in reader:
            yield line, record
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{name}, line {line}: not CSV: {error}") from None


def _rewritten(data: bytes, name: str) -> bytes:
    """Return the same table in the plainest CSV, or raise for the first line that is wrong."""
    out = io.StringIO()
    writer = csv.writer(out)
    width = None
    for line, record in _records(data, name):
        width = len(record) if width is None else width
        if len(record) > width:
            raise DataError(
                f"{name}, line {line}: found {len(record)} fields, expected {width} as in line 1"
            )
        # A blank line is written as such: rows keep their numbers.
        writer.writerow(record if record else [""] * width)
    return out.getvalue().encode()


def line_of(data: bytes, row: int) -> int:
    """Return the line, from 1, on which the data row begins that ``read`` returned as ``row``."""
    for number, (line, _) in enumerate(_records(data, "")):
        if number == row + 1:
            return line
    raise IndexError(row)


def decoded(data: bytes, name: str) -> str:
    """Return the text, without a byte order mark.

    Raises
    ------
    DataError
        If it is not UTF-8; the message names the line.
    """
    try:
        return data.removeprefix(BOM).decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        found = data[error.start : error.start + 1].hex()
        raise DataError(f"{name}, line {line}: found byte 0x{found}, expected UTF-8") from None
