"""Codebooks applied level by level, each to what the levels before left over."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from mgrec.data.blocks import blocks, take
from mgrec.data.features import Codes, Embeddings
from mgrec.errors import DataError
from mgrec.ids.kmeans import nearest
from mgrec.progress import bar

Matrix = NDArray[np.float32]


def quantise(points: Matrix, books: Sequence[Matrix]) -> NDArray[np.int32]:
    """Return the nearest code of each level's residual.

    Parameters
    ----------
    points : float32 [points, dim]
    books : one float32 [codes, dim] a level

    Returns
    -------
    int32 [points, levels]
    """
    codes = np.empty((len(points), len(books)), np.int32)
    residual = points.copy()
    for level, book in enumerate(books):
        codes[:, level] = found = nearest(residual, book)
        residual -= book[found]
    return codes


def restore(codes: NDArray[np.int32], books: Sequence[Matrix]) -> Matrix:
    """Return the sum of each row's codes, float32 [rows, dim].

    A code past the end of its book stands for nothing: fitting had no use for it.
    """
    points = np.zeros((len(codes), books[0].shape[1]), np.float32)
    for level, book in enumerate(books):
        rows = np.flatnonzero(codes[:, level] < len(book))
        points[rows] += book[codes[rows, level]]
    return points


def encode_present(
    embeddings: Embeddings,
    dim: int,
    sizes: tuple[int, ...],
    encode: Callable[[Matrix], NDArray[np.int32]],
) -> Codes:
    """Encode the items that have the modality, block by block; the others get zeros.

    Parameters
    ----------
    embeddings : vectors may be memory-mapped
    dim : what the codebooks expect
    encode : float32 [rows, dim] -> int32 [rows, levels]

    Raises
    ------
    DataError
        If the vectors have another dimension.
    """
    if embeddings.dim != dim:
        raise DataError(f"embeddings: found {embeddings.dim} dimensions, expected {dim}")
    codes = np.zeros((len(embeddings.vectors), len(sizes)), np.int32)
    rows = np.flatnonzero(embeddings.present)
    with bar("Codes", len(rows)) as shown:
        for some, block in blocks(embeddings.vectors, rows):
            codes[some] = encode(block)
            shown.advance(len(some))
    return Codes(codes, embeddings.present, sizes)


def sample(embeddings: Embeddings, most: int, rng: np.random.Generator) -> Matrix:
    """Return at most ``most`` present vectors in random order, float32 [rows, dim].

    Raises
    ------
    DataError
        If no item has a vector, or one of those drawn is not finite.
    """
    rows = np.flatnonzero(embeddings.present)
    if not len(rows):
        raise DataError("embeddings: no item has any, expected at least one")
    vectors = take(embeddings.vectors, rng.permutation(rows)[:most])
    if not np.isfinite(vectors).all():
        raise DataError("embeddings: found NaN or infinity, expected finite numbers")
    return vectors
