"""Ready-made embeddings and codes, aligned to the catalogue."""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mgrec.data.columns import positions, retyped
from mgrec.data.features import Codes, Embeddings
from mgrec.data.tables import contents, short
from mgrec.errors import DataError

LARGEST_CODE = 65535
_SMALLEST_BOOK = 256
# What numpy and zipfile raise for files that are cut short, changed, encrypted or something else.
_BROKEN = (
    ValueError,
    EOFError,
    OSError,
    MemoryError,
    RuntimeError,  # encrypted, or an unknown compression
    zipfile.BadZipFile,
    zlib.error,
)


def load(path: Path, field: str, name: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return ``item_id`` and ``field`` of an ``.npz`` file; nothing in it is unpickled.

    Raises
    ------
    DataError
        If the file is not whole, lacks one of the two, or holds pickled objects.
    """
    data = contents(path, name)
    try:
        arrays = np.load(io.BytesIO(data), allow_pickle=False)
        found = list(getattr(arrays, "files", []))  # a bare .npy has none
        if {"item_id", field} <= set(found):
            return arrays["item_id"], arrays[field]
    except _BROKEN as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        if "allow_pickle" in reason:
            reason = "pickled objects inside, expected plain numbers or text"
        raise DataError(f"{name}: not a whole .npz file: {reason}") from None
    there = short(", ".join(found)) if found else "one array"
    raise DataError(f"{name}: found {there}, expected item_id and {field}")


def embeddings(
    item_ids: Any, vectors: Any, catalogue: pl.Series, name: str
) -> tuple[Embeddings, int]:
    """Align vectors to the catalogue.

    Parameters
    ----------
    item_ids : [rows]
    vectors : [rows, dim], any float type
    catalogue : Series of item ids
    name : str
        What errors call the array.

    Returns
    -------
    Embeddings
        float32; items without a row are not present.
    int
        Rows of items that the catalogue does not have; they are left out.

    Raises
    ------
    DataError
        If shapes, types or ids do not fit, or a value is not finite.
    """
    vectors = np.asarray(vectors)
    if vectors.dtype.kind != "f":
        raise DataError(f"{name}: found {vectors.dtype} values, expected floats")
    rows, place = _aligned(item_ids, vectors, catalogue, name, "[items, dim]")
    with np.errstate(over="ignore"):
        vectors = vectors.astype(np.float32)
    _finite(vectors, name)
    out = np.zeros((len(catalogue), vectors.shape[1]), np.float32)
    out[place] = vectors[rows]
    return Embeddings(out, _present(place, catalogue)), len(vectors) - len(rows)


def codes(item_ids: Any, values: Any, catalogue: pl.Series, name: str) -> tuple[Codes, int]:
    """Align codes to the catalogue; see `embeddings`.

    A level's codebook size, which a file does not say, is the power of two above its largest
    code, and at least 256.

    Parameters
    ----------
    item_ids : [rows]
    values : [rows, levels], any integer type, 0 to 65535
    catalogue : Series of item ids
    name : str
    """
    values = np.asarray(values)
    if values.dtype.kind not in "iu":
        raise DataError(f"{name}: found {values.dtype} values, expected whole numbers")
    rows, place = _aligned(item_ids, values, catalogue, name, "[items, levels]")
    _in_range(values, name)
    out = np.zeros((len(catalogue), values.shape[1]), np.int32)
    out[place] = values[rows]
    sizes = tuple(max(_SMALLEST_BOOK, 1 << int(top).bit_length()) for top in values.max(axis=0))
    return Codes(out, _present(place, catalogue), sizes), len(values) - len(rows)


def checked(given: Embeddings | Codes, catalogue: pl.Series, name: str) -> None:
    """Raise DataError unless arrays that are aligned already fit the catalogue."""
    values = given.vectors if isinstance(given, Embeddings) else given.codes
    if values.ndim != 2 or len(values) != len(catalogue) or given.present.shape != values.shape[:1]:
        raise DataError(
            f"{name}: found {list(values.shape)} values and {list(given.present.shape)} present,"
            f" expected one row for each of {len(catalogue):,} items"
        )
    if isinstance(given, Embeddings):
        _finite(given.vectors, name)
    else:
        _in_range(given.codes, name)
        if len(given.sizes) != given.codes.shape[1] or (given.codes >= given.sizes).any():
            raise DataError(f"{name}: found codes outside their sizes {given.sizes}")


def _aligned(
    item_ids: Any, values: NDArray[Any], catalogue: pl.Series, name: str, shape: str
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows that the catalogue has, and where in it each stands."""
    if values.ndim != 2 or 0 in values.shape:
        raise DataError(f"{name}: found shape {list(values.shape)}, expected {shape}, not empty")
    known = _ids(item_ids, catalogue, name)
    if len(known) != len(values):
        raise DataError(f"{name}: found {len(known)} ids and {len(values)} rows, expected as many")
    if known.n_unique() < len(known):
        row = int((~known.is_first_distinct()).arg_max() or 0)
        raise DataError(f"{name}, row {row + 1}: item_id {short(known[row])} stands there twice")
    place = positions(known, catalogue)
    rows = np.flatnonzero(place >= 0)
    if not len(rows):
        raise DataError(
            f"{name}: none of its {len(known):,} ids is in the catalogue,"
            f" found such as {short(known[0])}, expected such as {short(catalogue[0])}"
        )
    return rows, place[rows]


def _ids(item_ids: Any, catalogue: pl.Series, name: str) -> pl.Series:
    """Return ids in the catalogue's type."""
    array = np.asarray(item_ids)
    if array.ndim != 1 or array.dtype.kind not in "iuUSO":
        found = f"{array.dtype} of shape {list(array.shape)}"
        raise DataError(f"{name}: item_id is {found}, expected one row of whole numbers or text")
    if array.dtype.kind == "S":
        array = np.char.decode(array, "utf-8")
    try:
        given = pl.Series("item_id", array.tolist(), strict=True)
    except (TypeError, OverflowError):
        raise DataError(f"{name}: item_id mixes types, expected whole numbers or text") from None
    cast = retyped(given, catalogue.dtype)
    if cast.null_count():
        row = int(cast.is_null().arg_max() or 0)
        raise DataError(
            f"{name}, row {row + 1}: item_id is {short(given[row])}, expected such ids as the"
            f" catalogue has: {short(catalogue[0])}"
        )
    return cast


def _finite(vectors: NDArray[np.float32], name: str) -> None:
    wrong = ~np.isfinite(vectors).all(axis=1)
    if wrong.any():
        row = int(wrong.argmax())
        value = vectors[row][~np.isfinite(vectors[row])][0]
        raise DataError(f"{name}, row {row + 1}: found {value}, expected finite 32-bit floats")


def _in_range(values: NDArray[Any], name: str) -> None:
    wrong = (values < 0) | (values > LARGEST_CODE)
    if wrong.any():
        row, level = (int(i) for i in np.argwhere(wrong)[0])
        raise DataError(
            f"{name}, row {row + 1}, level {level + 1}: found {values[row, level]},"
            f" expected 0 to {LARGEST_CODE}"
        )


def _present(place: NDArray[np.int64], catalogue: pl.Series) -> NDArray[np.bool_]:
    present = np.zeros(len(catalogue), bool)
    present[place] = True
    return present
