"""Parquet: a file, or a folder of part files as written by Spark, Dask and DuckDB."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import polars as pl

from mgrec.data import files
from mgrec.errors import DataError, in_one_line

Parts = tuple[tuple[str, int], ...]  # name and first row of each part

_NONE = "__HIVE_DEFAULT_PARTITION__"
_BROKEN = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OverflowError, MemoryError)


def folder(path: Path, name: str, limit: int | None = None) -> tuple[pl.DataFrame, Parts]:
    """Read all parts of a folder, in the order of their names.

    Names that begin with ``.`` or ``_`` are ignored, numbers in names are compared as numbers, and
    subfolders ``key=value`` become columns.

    Parameters
    ----------
    limit : maximum bytes in memory; by default see `mgrec.data.files.limit_of`

    Raises
    ------
    DataError
        If a file is not Parquet or too large, or a column's kind differs between parts.
    """
    frames: list[pl.DataFrame] = []
    parts: list[tuple[str, int]] = []
    keys: set[str] = set()
    rows = size = 0
    for file in _parts(path, name):
        part = f"{name}/{file.relative_to(path).as_posix()}"
        data = files.contents(file, part, limit)
        values = _keys(file.relative_to(path))
        frame = _with_keys(unpacked(data, part, limit), values, part)
        keys |= values.keys()
        size += int(frame.estimated_size())
        if size > (most := files.limit_of() if limit is None else limit):
            raise DataError(f"{name}: found over {files.amount(most)}, expected at most that much")
        if frames:
            _check_like(frame, frames[0], part, parts[0][0])
        frames.append(frame)
        parts.append((part, rows))
        rows += len(frame)
    whole = pl.concat(frames, how="diagonal_relaxed")
    return _typed_keys(whole, keys), tuple(parts)


def unpacked(data: bytes, name: str, limit: int | None = None) -> pl.DataFrame:
    """Read the bytes of one file, after its size in memory was estimated from the row count."""
    try:
        scan = pl.scan_parquet(io.BytesIO(data))
        schema = scan.collect_schema()
        rows = int(scan.select(pl.len()).collect().item())
        most = files.limit_of() if limit is None else limit
        if (size := rows * sum(map(_width, schema.dtypes()))) > most:
            raise DataError(
                f"{name}: found {rows:,} rows of {len(schema)} columns, at least"
                f" {files.amount(size)}, expected at most {files.amount(most)}"
            )
        return pl.read_parquet(io.BytesIO(data))
    except _BROKEN as error:
        reason = in_one_line(error)[:200]
        raise DataError(f"{name}: not a whole Parquet file: {reason}") from None


def _width(dtype: pl.DataType) -> int:
    """Return about the least number of bytes of a value in Polars."""
    if dtype in (pl.Int8, pl.UInt8, pl.Boolean, pl.Null):
        return 1
    if dtype in (pl.Int16, pl.UInt16):
        return 2
    if dtype in (pl.Int32, pl.UInt32, pl.Float32, pl.Date):
        return 4
    return 16 if dtype in (pl.String, pl.Binary) else 8


def _parts(folder: Path, name: str) -> list[Path]:
    """Return the part files of a folder, however deep, in the order of their names."""
    found: list[Path] = []
    waiting = [folder]
    while waiting:
        try:
            inside = list(waiting.pop().iterdir())
        except OSError as error:
            raise DataError(f"{name}: cannot be read: {error.strerror}") from None
        for path in inside:
            if path.name.startswith((".", "_")) or path.suffix == ".crc":
                continue
            if path.is_dir() and not path.is_symlink():
                waiting.append(path)
            elif path.suffix == ".parquet":
                found.append(path)
            else:
                raise DataError(
                    f"{name}/{path.relative_to(folder).as_posix()}: expected only part files,"
                    " named *.parquet, and folders of them"
                )
    if not found:
        raise DataError(f"{name}: found a folder without files named *.parquet")
    return sorted(found, key=lambda path: _natural(path.relative_to(folder).as_posix()))


def _natural(text: str) -> list[tuple[int, int, str]]:
    """Return a sort key that puts part-10 after part-9."""
    pieces = re.split(r"(\d+)", text)
    return [(0, int(p), "") if p.isdecimal() else (1, 0, p) for p in pieces if p]


def _keys(file: Path) -> dict[str, str | None]:
    """Return the columns that subfolders named ``key=value`` stand for."""
    pairs = [part.split("=", 1) for part in file.parts[:-1] if "=" in part]
    return {unquote(key): None if value == _NONE else unquote(value) for key, value in pairs}


def _with_keys(frame: pl.DataFrame, keys: Mapping[str, str | None], name: str) -> pl.DataFrame:
    if twice := [key for key in keys if key in frame.columns]:
        raise DataError(f"{name}: found '{twice[0]}' as a column and as a folder, expected one")
    return frame.with_columns(pl.lit(v, pl.String).alias(k) for k, v in keys.items())


def _typed_keys(frame: pl.DataFrame, keys: set[str]) -> pl.DataFrame:
    """Return columns of subfolders as whole numbers if all values are written as such."""
    plain = [
        key
        for key in sorted(keys)
        if frame[key].str.contains(r"^(0|-?[1-9]\d{0,17})$").fill_null(True).all()
    ]
    return frame.with_columns(pl.col(plain).cast(pl.Int64))


def _check_like(frame: pl.DataFrame, first: pl.DataFrame, name: str, other: str) -> None:
    """Refuse a part with a column of another kind than in the first part."""
    for column, dtype in frame.schema.items():
        expected: Any = first.schema.get(column, dtype)
        if _kind(dtype) != _kind(expected) and pl.Null not in (dtype, expected):
            raise DataError(
                f"{name}: column '{column}' is {dtype}, expected {expected} as in {other}"
            )


def _kind(dtype: Any) -> str:
    if dtype.is_numeric():
        return "number"
    if dtype in (pl.String, pl.Categorical, pl.Enum):
        return "text"
    return str(dtype.base_type())


def place(parts: Sequence[tuple[str, int]], row: int) -> tuple[str, int]:
    """Return the part that has a row, and the row's number in it from 0."""
    name, first = next((n, f) for n, f in reversed(parts) if f <= row)
    return name, row - first
