"""Tables as they come, from files or frames, and where each of their rows stands."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mgrec.data import csvs, jsonl, keys, parquet
from mgrec.data.files import contents, refuse_packed
from mgrec.errors import DataError, in_one_line, nearest

KINDS = ("parquet", "csv", "jsonl")
_COARSE = ("Y", "M", "W", "D", "h", "m", "s", "ms")


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
    parts : tuple of (str, int)
        For a folder of part files: the name and first row of each.
    """

    frame: pl.DataFrame
    name: str
    kind: str
    path: Path | None = None
    records: NDArray[np.int64] | None = None
    names: Mapping[str, str] = field(default_factory=dict)
    parts: parquet.Parts = ()

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def renames(self) -> dict[str, str]:
        """The file's name for each renamed column."""
        return {ours: theirs for ours, theirs in self.names.items() if ours != theirs}

    @property
    def untyped(self) -> bool:
        """Whether the format writes numbers and text alike, so that ids arrive as text."""
        return self.kind in {"csv", "sequences"}

    def place(self, row: int, column: str | None = None) -> str:
        """Say where a row stands, as an editor counts: ``items.csv, line 7, column 'x'``."""
        record, name = int(row if self.records is None else self.records[row]), self.name
        if self.parts:
            name, record = parquet.place(self.parts, record)
        if self.kind == "csv" and self.path is not None:
            where = f"line {csvs.line_of(contents(self.path, self.name), record)}"
        elif self.kind == "jsonl" and self.path is not None:
            where = f"line {jsonl.line_of(contents(self.path, self.name), record)}"
        else:
            where = f"{'line' if self.kind == 'sequences' else 'row'} {record + 1}"
        if column is None or self.kind == "sequences":
            return f"{name}, {where}"
        return f"{name}, {where}, column {self.names.get(column, column)!r}"

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

    Anything with such a name counts, so that a link to nothing, a folder or a pipe is refused when
    it is read, and not ignored.

    Raises
    ------
    DataError
        If there is more than one, since nothing tells which is meant.
    """
    names = [f"{stem}.{kind}{gz}" for kind in kinds for gz in ("", ".gz")]
    present = [name for name in names if os.path.lexists(folder / name)]
    if len(present) > 1:
        raise DataError(f"{folder}: found {' and '.join(present)}, expected only one of them")
    return folder / present[0] if present else None


def read(path: Path, ids: Collection[str] = (), limit: int | None = None) -> Table:
    """Read a ``parquet``, ``csv`` or ``jsonl`` file, or a sequences ``txt``, plain or ``.gz``.

    ``parquet`` may also be a folder of part files.

    Parameters
    ----------
    path : Path
    ids : collection of str
        Columns of ids: kept as text in CSV (where ``007`` is not 7), and of one type in JSONL.
    limit : int, optional
        Maximum bytes in memory; by default see `mgrec.data.files.limit_of`.

    Raises
    ------
    DataError
        If the file is empty, malformed, too large or not a regular file.
    """
    name = path.name
    kind = Path(name.removesuffix(".gz")).suffix[1:]
    if path.suffix == ".parquet" and path.is_dir():
        frame, parts = parquet.folder(path, name, limit)
        return Table(_spelled(_filled(frame, name)), name, kind, path, parts=parts)
    data = contents(path, name, limit)
    if data[:4].removeprefix(csvs.BOM) == b"" or data.isspace():
        raise DataError(f"{name}: empty file, expected rows")
    if kind == "txt":
        return _sequences(path, data)
    records = None
    if kind in {"csv", "jsonl"}:
        refuse_packed(data, name)
    if kind == "csv":
        frame = csvs.read(data, name, ids)
        blank = frame.select(pl.all_horizontal(pl.all().is_null())).to_series()
        if blank.any():  # a blank line is no row
            records = np.flatnonzero(~blank.to_numpy())
            frame = frame.filter(~blank)
    elif kind == "jsonl":
        frame = jsonl.read(data, name, ids)
    else:
        frame = parquet.unpacked(data, name, limit)
    return Table(_spelled(_filled(frame, name)), name, kind, path, records)


def _filled(frame: pl.DataFrame, name: str) -> pl.DataFrame:
    """Return a frame that has rows."""
    if frame.is_empty():
        raise DataError(f"{name}: no rows, found only columns {short(', '.join(frame.columns))}")
    return frame


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
    """Convert a frame of Polars or pandas, a dict of columns, or a list of dicts.

    Rows are counted from 1; an index is ignored.

    Raises
    ------
    DataError
        If it is none of these, has no rows, or mixes types in a column of ids.
    """
    if isinstance(frame, pl.LazyFrame):
        try:
            frame = frame.collect()
        except (pl.exceptions.PolarsError, OSError) as error:
            raise DataError(f"{name}: the LazyFrame fails: {in_one_line(error)[:200]}") from None
    elif type(frame).__module__.startswith("pandas") and hasattr(frame, "columns"):
        frame = _from_pandas(frame, name, ids)
    elif isinstance(frame, Mapping | list):
        frame = _of_python(frame, name, ids)
    if not isinstance(frame, pl.DataFrame):
        raise DataError(
            f"{name}: found {_kind(frame)}, expected a Polars or pandas DataFrame,"
            " a dict of columns or a list of dicts"
        )
    objects = [column for column in frame if column.dtype == pl.Object]
    frame = frame.with_columns(_cells(c.name, c.to_list(), name, ids) for c in objects)
    return Table(_spelled(_filled(frame, name)), name, "frame")


def _of_python(
    given: Mapping[Any, Any] | list[Any], name: str, ids: Collection[str]
) -> pl.DataFrame:
    """Return a dict of columns, or a list of rows, as a frame."""
    if isinstance(given, list):
        for row, record in enumerate(given):
            if not isinstance(record, Mapping):
                raise DataError(
                    f"{name}, row {row + 1}: found {_kind(record)}, expected a dict in each row"
                )
        names = dict.fromkeys(key for record in given for key in record)
        given = {key: [record.get(key) for record in given] for key in names}
    columns = [_from_values(str(key), values, name, ids) for key, values in given.items()]
    if len({len(column) for column in columns}) > 1:
        found = ", ".join(f"{len(column):,} in '{column.name}'" for column in columns)
        raise DataError(f"{name}: found {found[:200]}, expected as many values in each column")
    return pl.DataFrame(columns)


def _from_values(column: str, values: Any, name: str, ids: Collection[str]) -> pl.Series:
    """Return the values of one column, from any kind of sequence."""
    if isinstance(values, pl.Series):
        return values.alias(column)
    if type(values).__module__.startswith("pandas") and hasattr(values, "isna"):
        return _column(column, values, name, ids)
    if isinstance(values, np.ndarray) and values.ndim == 1 and values.dtype.kind in "iufbM":
        return _of_array(column, values, name)
    single = isinstance(values, str | bytes | Mapping) or getattr(values, "shape", None) == ()
    if single or not hasattr(values, "__iter__"):
        raise DataError(f"{name}, column '{column}': found {_kind(values)}, expected a list")
    return _cells(column, list(values), name, ids)


def _kind(value: object) -> str:
    """Return the name of a value's type, for a message."""
    return "None" if value is None else type(value).__name__


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
        return _of_array(column, values.to_numpy(), name)
    cells: list[Any] = values.astype(object).tolist()
    cells = [None if gone else cell for cell, gone in zip(cells, values.isna(), strict=True)]
    return _cells(column, cells, name, ids)


def _of_array(column: str, array: NDArray[Any], name: str) -> pl.Series:
    """Convert numbers, truth values or moments of NumPy; NaN and NaT become null."""
    if array.dtype.kind == "M":
        unit = np.datetime_data(array.dtype)[0]
        ticks = array.astype("datetime64[us]")
        # Only microseconds and coarser units reach other years, and may overflow as microseconds.
        years = (array if unit in _COARSE else ticks).astype("datetime64[Y]").astype(np.int64)
        wrong = ~np.isnat(array) & ((years < 1 - 1970) | (years > 9999 - 1970))
        if wrong.any():
            row = int(wrong.argmax())
            raise DataError(
                f"{name}, row {row + 1}, column '{column}': found {array[row]}, expected a date in"
                " the years 1 to 9999"
            )
        array = array if unit == "D" else ticks
    elif array.dtype.kind == "f" and array.dtype.itemsize not in (4, 8):
        array = array.astype(np.float64)
    elif not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    return pl.Series(column, array, nan_to_null=True)


def _cells(column: str, cells: list[Any], name: str, ids: Collection[str]) -> pl.Series:
    """Return a column of Python values; ids become whole numbers or text, all of one type."""
    if any(issubclass(kind, np.ndarray | np.generic) for kind in set(map(type, cells))):
        cells = [jsonl.builtin(cell) for cell in cells]
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
    return jsonl.series(column, cells, name)
