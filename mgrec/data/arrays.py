"""Ready-made embeddings and codes, aligned to the catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mgrec.data import keys
from mgrec.data.blocks import blocks, gather, spans
from mgrec.data.columns import positions, retyped
from mgrec.data.features import Codes, Embeddings
from mgrec.data.tables import short
from mgrec.errors import DataError

LARGEST_CODE = 65535
# Largest absolute value in a vector: squared distances of larger ones overflow float32.
LARGEST = 1e15
MANY, FEWEST = 0.1, 3  # items that share their content: the share and count worth a warning
_SMALLEST_BOOK = 256


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
        float32; items without a row are not present. Vectors that are of this type, in the
        catalogue's order and read-only are not copied: so a mapped file stays where it is.
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
    _finite(vectors, name)
    unknown = len(vectors) - len(rows)
    source = np.full(len(catalogue), -1)
    source[place] = rows
    as_it_is = vectors.dtype == np.float32 and not vectors.flags.writeable
    if not (as_it_is and np.array_equal(source, np.arange(len(vectors)))):
        vectors = gather(vectors, source)
    return Embeddings(vectors, source >= 0), unknown


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
    if array.ndim != 1 or array.dtype.kind not in "iufUSO":
        found = f"{array.dtype} of shape {list(array.shape)}"
        raise DataError(f"{name}: item_id is {found}, expected one row of whole numbers or text")
    if array.dtype.kind == "S":
        array = np.char.decode(array, "utf-8")
    try:
        # Numbers as they are: ten million of them as Python's own take half a GiB.
        whole = array.dtype.kind in "iu" and array.dtype.isnative
        plain = array if whole else array.tolist()
        if array.dtype.kind in "fO":
            plain = [keys.plain(value) for value in array]
        given = pl.Series("item_id", plain, strict=True)
        if given.dtype == pl.Null:
            given = given.cast(catalogue.dtype)
    except (TypeError, OverflowError):
        raise DataError(f"{name}: item_id mixes types, expected whole numbers or text") from None
    cast = retyped(given, catalogue.dtype)
    if cast.null_count():
        row = int(cast.is_null().arg_max() or 0)
        raise DataError(
            f"{name}, row {row + 1}: item_id is {short(array[row])}, expected such ids as the"
            f" catalogue has: {short(catalogue[0])}"
        )
    return cast


def empty_rows(given: Embeddings) -> NDArray[np.int64]:
    """Return the items whose vector is all zeros."""
    parts = [
        rows[~block.any(axis=1)]
        for rows, block in blocks(given.vectors, np.flatnonzero(given.present))
    ]
    return np.concatenate([np.empty(0, np.int64), *parts])


def largest_group(given: Embeddings) -> NDArray[np.int64]:
    """Return the items of the most shared vector; empty if no two items share one."""
    rows = np.flatnonzero(given.present)
    _, group, sizes = np.unique(_hashes(given)[rows], return_inverse=True, return_counts=True)
    if sizes.max(initial=0) < 2:
        return np.empty(0, np.int64)
    return rows[group == sizes.argmax()]


def is_many(count: int, items: int) -> bool:
    """Whether so many items with the same content are worth a warning."""
    return count >= max(FEWEST, MANY * items)


def different(several: Sequence[Embeddings]) -> int:
    """Count distinct vectors, with those of several modalities concatenated."""
    present = np.logical_or.reduce([given.present for given in several])
    total = np.zeros(len(present), np.uint64)
    for seed, given in enumerate(several):
        total += _hashes(given, seed)
    return len(np.unique(total[present]))


def _hashes(given: Embeddings, seed: int = 0) -> NDArray[np.uint64]:
    """Return a 64-bit hash of every item's vector, 0 where it has none."""
    factors = np.random.default_rng(seed).integers(1, 2**63, given.dim, dtype=np.uint64)
    hashes = np.zeros(len(given.present), np.uint64)
    for rows, block in blocks(given.vectors, np.flatnonzero(given.present)):
        bits = (block + np.float32(0)).view(np.uint32)  # -0 is 0
        hashes[rows] = (bits * factors).sum(axis=1, dtype=np.uint64) | np.uint64(1)
    return hashes


def _finite(vectors: NDArray[np.floating[Any]], name: str) -> None:
    for span in spans(vectors):
        with np.errstate(over="ignore"):
            block = vectors[span].astype(np.float32, copy=False)
        wrong = ~(np.abs(block) <= LARGEST).all(axis=1)  # NaN is not smaller
        if wrong.any():
            row = int(wrong.argmax())
            value = block[row][~(np.abs(block[row]) <= LARGEST)][0]
            expected = f"numbers up to {LARGEST:g}" if np.isfinite(value) else "finite numbers"
            raise DataError(
                f"{name}, row {span.start + row + 1}: found {value:g}, expected {expected}"
            )


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
