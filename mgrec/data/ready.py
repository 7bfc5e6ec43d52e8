"""Ready-made embeddings and codes of a folder or a caller, aligned to the catalogue."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from mgrec.data import arrays, blocks, npz, tables
from mgrec.data import columns as cols
from mgrec.data.features import Codes, Embeddings
from mgrec.data.files import contents, opened
from mgrec.data.tables import Table, short
from mgrec.errors import DataError, in_one_line

Pair = tuple[ArrayLike, ArrayLike]  # item ids, and a row of values for each
# Also accepted: an array or tensor with one row per item in the catalogue's order, a frame with
# item_id and a column of lists, and a dict of item id -> row.
Given = Any

KINDS = ("npz", "npy", "parquet")
EXPECTED = (
    "<modality>.npz (item_id and emb or codes), .npy (one row for each item, in the order of the"
    " items) or .parquet (item_id and a column of lists)"
)


def files(folder: Path) -> dict[str, Path]:
    """Return the file of each modality that is read in a folder of arrays.

    Raises
    ------
    DataError
        If it is not a folder, or a modality has several files.
    """
    if os.path.lexists(folder) and not folder.is_dir():
        kind = "a link to nothing" if folder.is_symlink() else "a file"
        raise DataError(f"{folder}: found {kind}, expected a folder of arrays")
    found: dict[str, Path] = {}
    endings = [f".{kind}{gz}" for kind in KINDS for gz in ("", ".gz")]
    for ending in endings:
        for file in sorted(folder.glob(f"*{ending}")):
            modality = file.name.removesuffix(ending)
            if not modality or modality.startswith("."):
                continue
            if modality in found:
                names = f"{found[modality].name} and {file.name}"
                raise DataError(f"{folder.name}: found {names}, expected only one of them")
            found[modality] = file
    return found


def load(path: Path, field: str, name: str, item_id: str = "item_id") -> Given:
    """Read one file of arrays; nothing is unpickled.

    Parameters
    ----------
    field : "emb" or "codes", the name of the values in an ``.npz`` file
    name : of the file, for errors
    item_id : the name of the ids in the items file, which may be used here too

    Raises
    ------
    DataError
        If the file is broken, or lacks the expected arrays.
    """
    kind = path.name.removesuffix(".gz").rpartition(".")[2]
    if path.suffix != ".parquet" or not path.is_dir():
        opened(path, name).close()
    if kind == "npz":
        return npz.load(path, field, name, item_id=item_id)
    if kind == "npy":
        return _npy(path, name)
    table = tables.read(path, {"item_id", item_id}).renamed({"item_id": item_id})
    return _pair(replace(table, name=name), field)


def embeddings(
    given: Given, known: pl.Series, name: str, order: str = "the items"
) -> tuple[Embeddings, int]:
    """Align vectors in any accepted form to the catalogue; see `arrays.embeddings`.

    Parameters
    ----------
    known : item ids
    name : of the vectors, for errors
    order : name of the table whose order an array without ids has
    """
    if isinstance(given, Codes):
        raise DataError(f"{name}: found codes, expected vectors")
    if isinstance(given, Embeddings):
        arrays.checked(given, known, name)
        return given, 0
    return arrays.embeddings(*_paired(given, known, name, order, "emb"), known, name)


def codes(given: Given, known: pl.Series, name: str, order: str = "the items") -> tuple[Codes, int]:
    """Align codes in any accepted form to the catalogue; see `embeddings`."""
    if isinstance(given, Embeddings):
        raise DataError(f"{name}: found vectors, expected codes")
    if isinstance(given, Codes):
        arrays.checked(given, known, name)
        return given, 0
    return arrays.codes(*_paired(given, known, name, order, "codes"), known, name)


def by_modality(given: object, what: str) -> Mapping[str, Given]:
    """Return the arrays of a caller by modality.

    Raises
    ------
    DataError
        If it is not a mapping with names as keys.
    """
    if given is None:
        return {}
    if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
        raise DataError(
            f"{what}: found {type(given).__name__}, expected a dict such as"
            f" {{'text': {what} of the items}}"
        )
    return given


def _paired(given: Given, known: pl.Series, name: str, order: str, field: str) -> Pair:
    """Return the ids and values of any accepted form."""
    if isinstance(given, pl.DataFrame | pl.LazyFrame) or hasattr(given, "iloc"):
        return _pair(tables.of_frame(given, name, {"item_id"}), field)
    if isinstance(given, Mapping):
        return list(given), _array(list(given.values()), name)
    if isinstance(given, tuple) or (isinstance(given, list) and _is_pair(given)):
        if len(given) != 2:
            raise DataError(f"{name}: found {len(given)} arrays, expected item ids and values")
        return given[0], _array(given[1], name)
    values = _array(given, name)
    if values.ndim == 0:
        raise DataError(
            f"{name}: found {type(given).__name__}, expected an array with one row for each item"
        )
    if values.ndim != 2 or len(values) != len(known):
        raise DataError(
            f"{name}: found shape {list(values.shape)} without item ids, expected"
            f" [{len(known)}, dim]: one row for each item, in the order of {order}"
        )
    return known, values


def _is_pair(given: list[Any]) -> bool:
    return len(given) == 2 and getattr(given[1], "ndim", 0) == 2


def _array(values: Any, name: str) -> NDArray[Any]:
    """Convert an array, a tensor or nested lists to an array."""
    try:
        if hasattr(values, "detach"):
            values = values.detach().cpu()
            values = values.float() if str(values.dtype) == "torch.bfloat16" else values
            return np.asarray(values.numpy())
        return np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:
        reason = in_one_line(error)
        raise DataError(f"{name}: not an array of numbers: {reason[:160]}") from None


def _npy(path: Path, name: str) -> NDArray[Any]:
    """Read an ``.npy`` file; over 512 MiB it is memory-mapped and must not change."""
    try:
        if path.suffix == ".gz":
            data = io.BytesIO(contents(path, name))
            return np.asarray(np.lib.format.read_array(data, allow_pickle=False))
        # Mapped first: the file's size is compared with what its header says.
        mapped = np.lib.format.open_memmap(path, mode="r")
        return mapped if mapped.nbytes > blocks.IN_MEMORY else np.array(mapped)
    except npz.BROKEN as error:
        reason = in_one_line(error)
        if "object" in reason.lower():
            reason = "pickled objects inside, expected plain numbers"
        raise DataError(f"{name}: not a whole .npy file: {reason}") from None


def _pair(table: Table, field: str) -> Pair:
    """Return the ids of a table and the rows of its column of lists, without null rows."""
    ids = cols.ids(table, "item_id")
    lists = [c.name for c in table.frame if isinstance(c.dtype, pl.List | pl.Array)]
    if field in lists:
        lists = [field]
    if len(lists) != 1:
        found = short(", ".join(table.frame.columns), 200)[1:-1]
        raise DataError(
            f"{table.name}: found {found}, expected item_id and one column of lists of numbers,"
            f" such as {field}"
        )
    column = table.frame[lists[0]]
    column = column.arr.to_list() if isinstance(column.dtype, pl.Array) else column
    inner: pl.DataType = column.dtype.inner  # type: ignore[attr-defined]
    lengths = column.list.len()
    width = next((n for n in lengths if n is not None), 0)
    if not width:
        raise DataError(f"{table.name}: found no vector in column '{column.name}', expected some")
    for wrong, found in (
        (pl.Series([not inner.is_numeric()]), f"lists of {inner}"),
        (lengths != width, "a list of another length than the first"),
        (column.list.eval(pl.element().is_null()).list.any(), "null in a list"),
    ):
        if wrong.any():
            place = table.place(int(wrong.fill_null(False).arg_max() or 0), column.name)
            raise DataError(f"{place}: found {found}, expected {width} numbers in each")
    there = column.is_not_null()
    flat = column.filter(there).explode(empty_as_null=True, keep_nulls=True)
    values = flat.cast(pl.Float64) if inner.is_decimal() else flat
    return ids.filter(there), values.to_numpy().reshape(int(there.sum()), -1)


def in_folder(
    folder: Path, field_of: Callable[[str], str], item_id: str = "item_id"
) -> dict[str, Given]:
    """Read every modality's file of a folder; see `load`."""
    return {
        modality: load(file, field_of(modality), f"{folder.name}/{file.name}", item_id)
        for modality, file in files(folder).items()
    }


def unread(folder: Path, read: Iterable[Path]) -> list[str]:
    """Return the names of files in a folder of arrays that are not read."""
    if not folder.is_dir():
        return []
    known = {file.name for file in read}
    names = sorted(file.name for file in folder.iterdir() if not file.name.startswith("."))
    return [name for name in names if name not in known]
