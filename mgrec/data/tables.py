"""Tables as they come, from files or frames, and where each of their rows stands."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mgrec.data import csvs, jsonl, keys
from mgrec.errors import DataError, nearest

KINDS = ("parquet", "csv", "jsonl")


@dataclass(frozen=True)
class Table:
    """Rows as they were read.

    Attributes
    ----------
    frame : polars.DataFrame
    name : str
        What errors call it: ``items.csv``.
    kind : str
        ``csv``, ``jsonl``, ``parquet``, ``sequences`` or ``frame``.
    path : Path or None
        The file, read once more where an error has to name a line of it.
    records : int64 [rows] or None
        The file's own number of each row, from 0; None where none was skipped.
    names : mapping
        Our column name -> the file's, where the two differ.
    """

    frame: pl.DataFrame
    name: str
    kind: str
    path: Path | None = None
    records: NDArray[np.int64] | None = None
    names: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def untyped(self) -> bool:
        """Whether the format writes numbers and text alike, so that ids arrive as text."""
        return self.kind in {"csv", "sequences"}

    def place(self, row: int, column: str | None = None) -> str:
        """Say where a row stands, as an editor counts: ``items.csv, line 7, column 'x'``."""
        record = int(row if self.records is None else self.records[row])
        if self.kind == "csv" and self.path is not None:
            where = f"line {csvs.line_of(contents(self.path, self.name), record)}"
        elif self.kind == "jsonl" and self.path is not None:
            where = f"line {jsonl.line_of(contents(self.path, self.name), record)}"
        else:
            where = f"{'line' if self.kind == 'sequences' else 'row'} {record + 1}"
        if column is None or self.kind == "sequences":
            return f"{self.name}, {where}"
        return f"{self.name}, {where}, column '{self.names.get(column, column)}'"

    def renamed(self, columns: Mapping[str, str]) -> Table:
        """Return the table under our column names; ``columns`` maps ours to the file's."""
        here = {ours: theirs for ours, theirs in columns.items() if theirs in self.frame.columns}
        overridden = [ours for ours, theirs in here.items() if ours != theirs]
        gone = {column for column in overridden if column not in here.values()}
        frame = self.frame[[column for column in self.frame.columns if column not in gone]]
        frame = frame.rename({theirs: ours for ours, theirs in here.items()})
        return replace(self, frame=frame, names=here)

    def require(self, *columns: str) -> None:
        """Raise DataError if a column is missing, with those that are there."""
        for column in columns:
            if column not in self.frame.columns:
                known = self.frame.columns
                hint = nearest(column, known)
                if len(known) == 1 and any(mark in known[0] for mark in ";\t|"):
                    hint = " Columns are separated by commas."
                found = short(", ".join(known), 200)
                raise DataError(f"{self.name}: no column '{column}', found {found}.{hint}")


def short(value: object, width: int = 40) -> str:
    """Return a value as it may stand in a message: quoted, on one line, not too long."""
    if isinstance(value, int) and value.bit_length() > 4096:  # Python refuses to write it out
        return f"a whole number of {value.bit_length():,} bits"
    text = repr(value.to_list() if isinstance(value, pl.Series) else value).replace("\n", " ")
    return text if len(text) <= width else f"{text[: width - 4]}...{text[-1]}"


def find(folder: Path, stem: str, kinds: Sequence[str] = KINDS) -> Path | None:
    """Return the one file of that name, plain or gzipped, or None where there is none.

    Raises
    ------
    DataError
        If there is more than one, since nothing tells which is meant.
    """
    names = [f"{stem}.{kind}{gz}" for kind in kinds for gz in ("", ".gz")]
    present = [name for name in names if (folder / name).is_file()]
    if len(present) > 1:
        raise DataError(f"{folder}: found {' and '.join(present)}, expected only one of them")
    return folder / present[0] if present else None


def contents(path: Path, name: str) -> bytes:
    """Return a file's bytes, unpacked if its name ends in ``.gz``."""
    try:
        return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{name}: not a whole gzip file: {error}") from None
    except OSError as error:
        raise DataError(f"{name}: cannot be read: {error.strerror}") from None


def read(path: Path, ids: Collection[str] = ()) -> Table:
    """Read a ``parquet``, ``csv`` or ``jsonl`` file, or a sequences ``txt``, plain or ``.gz``.

    Parameters
    ----------
    path : Path
    ids : collection of str
        Columns of ids: kept as text in CSV (where ``007`` is not 7), and of one type in JSONL.

    Raises
    ------
    DataError
        If the file is empty or malformed.
    """
    name = path.name
    kind = Path(name.removesuffix(".gz")).suffix[1:]
    data = contents(path, name)
    if data[:4].removeprefix(csvs.BOM) == b"" or data.isspace():
        raise DataError(f"{name}: empty file, expected rows")
    if kind == "txt":
        return _sequences(path, data)
    records = None
    if kind == "csv":
        frame = csvs.read(data, name, ids)
        blank = frame.select(pl.all_horizontal(pl.all().is_null())).to_series()
        if blank.any():  # a blank line is no row
            records = np.flatnonzero(~blank.to_numpy())
            frame = frame.filter(~blank)
    elif kind == "jsonl":
        frame = jsonl.read(data, name, ids)
    else:
        try:
            frame = pl.read_parquet(io.BytesIO(data))
        except pl.exceptions.PolarsError as error:
            raise DataError(f"{name}: not a whole Parquet file: {oneline(error)}") from None
    if frame.is_empty():
        raise DataError(f"{name}: no rows, found only columns {short(', '.join(frame.columns))}")
    return Table(_spelled(frame), name, kind, path, records)


def _spelled(frame: pl.DataFrame) -> pl.DataFrame:
    """Return categories as the text that they stand for."""
    return frame.with_columns(pl.selectors.by_dtype(pl.Categorical, pl.Enum).cast(pl.String))


def _sequences(path: Path, data: bytes) -> Table:
    """Read ``user item item ...`` lines into one row an interaction, ids as text."""
    lines = csvs.decoded(data, path.name).split("\n")
    tokens = pl.DataFrame({"token": pl.Series(lines, dtype=pl.String).str.extract_all(r"\S+")})
    rows = (
        tokens.with_row_index("record")
        .filter(pl.col("token").list.len() > 0)
        .select(
            "record",
            user_id=pl.col("token").list.first(),
            item_id=pl.col("token").list.slice(1),
        )
    )
    alone = rows.filter(pl.col("item_id").list.len() == 0)
    if len(alone):
        line, user = alone["record"][0] + 1, short(alone["user_id"][0])
        raise DataError(f"{path.name}, line {line}: found only {user}, expected user item item ...")
    rows = rows.explode("item_id")
    records = rows["record"].to_numpy().astype(np.int64)
    return Table(rows.drop("record"), path.name, "sequences", path, records)


def of_frame(frame: object, name: str, ids: Collection[str] = ()) -> Table:
    """Take a Polars or pandas frame; rows are counted from 1, whatever the index says.

    Raises
    ------
    DataError
        If it is neither, has no rows, or mixes types in a column of ids.
    """
    if isinstance(frame, pl.LazyFrame):
        frame = frame.collect()
    elif type(frame).__module__.startswith("pandas"):
        frame = _from_pandas(frame, name, ids)
    if not isinstance(frame, pl.DataFrame):
        found = type(frame).__name__
        raise DataError(f"{name}: found {found}, expected a Polars or pandas DataFrame")
    if frame.is_empty():
        raise DataError(f"{name}: no rows, found only columns {short(', '.join(frame.columns))}")
    objects = [column for column in frame if column.dtype == pl.Object]
    frame = frame.with_columns(_cells(c.name, c.to_list(), name, ids) for c in objects)
    return Table(_spelled(frame), name, "frame")


def _from_pandas(frame: Any, name: str, ids: Collection[str]) -> pl.DataFrame:
    """Convert column by column, without pyarrow, which pandas does not bring along."""
    names = [str(column) for column in frame.columns]
    if len(set(names)) < len(names):
        twice = next(n for n in names if names.count(n) > 1)
        raise DataError(f"{name}: column '{twice}' stands there twice, expected once")
    series = [_column(n, frame.iloc[:, i], name, ids) for i, n in enumerate(names)]
    return pl.DataFrame(series)


def _column(column: str, values: Any, name: str, ids: Collection[str]) -> pl.Series:
    """Convert one pandas column; what is missing becomes null."""
    if getattr(values.dtype, "tz", None) is not None:
        values = values.dt.tz_convert("UTC").dt.tz_localize(None)
    if isinstance(values.dtype, np.dtype) and values.dtype.kind in "iufbM":
        array = values.to_numpy()
        if array.dtype.kind == "M":
            array = array.astype("datetime64[us]")
        return pl.Series(column, array, nan_to_null=True)
    cells: list[Any] = values.astype(object).tolist()
    cells = [None if gone else cell for cell, gone in zip(cells, values.isna(), strict=True)]
    return _cells(column, cells, name, ids)


def _cells(column: str, cells: list[Any], name: str, ids: Collection[str]) -> pl.Series:
    """Return a column of Python's values; ids become whole numbers or text, and of one type."""
    if any(issubclass(kind, np.ndarray | np.generic) for kind in set(map(type, cells))):
        cells = [c.tolist() if isinstance(c, np.ndarray | np.generic) else c for c in cells]
    if column in ids:
        known = [None if c is None else keys.plain(c) for c in cells]
        lost = [
            k is None and not isinstance(c, str | None) for c, k in zip(cells, known, strict=True)
        ]
        row = lost.index(True) if any(lost) else jsonl.stranger(known)
        if row is not None:
            above = "ids that are whole numbers or text"
            if not any(lost):
                above = f"{jsonl.type_of(jsonl.first_of(known))} as above"
            found = f"found {short(cells[row])} ({jsonl.type_of(cells[row])}), expected {above}"
            raise DataError(f"{name}, row {row + 1}, column '{column}': {found}")
        cells = known
    return jsonl.series(column, cells)


def oneline(error: Exception) -> str:
    """Return the first line of a library's message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
