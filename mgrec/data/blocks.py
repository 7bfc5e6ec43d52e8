"""Vectors that may be larger than memory: they stay in a file, and are read by blocks.

A page of a mapped file counts as the process's memory from its first touch until it is given
back, and the kernel gives none back while there is any free. So whoever reads here does it
itself: what is held is a block, whatever the array's size. Arrays in memory go the same way, so
that where vectors lie changes no bit of what comes of them.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mgrec.errors import DataError

Matrix = NDArray[np.float32]

# Bytes up to which an array is in memory; a larger one stays in its file, or gets a scratch file.
IN_MEMORY = 1 << 29
# Bytes of a block: enough for a GEMM to be worth it, and little beside everything else.
BLOCK = 1 << 26
# Rows between which pages are given back. The kernel maps 16 pages around each one that is read,
# so that rows far apart cost 64 KiB each.
_PIECE = 1 << 12


def zeros(rows: int, dim: int) -> Matrix:
    """Return float32 [rows, dim] of zeros: in memory, or in a scratch file without a name.

    Raises
    ------
    DataError
        If the folder for temporary files has no room.
    """
    size = 4 * rows * dim
    if size <= IN_MEMORY:
        return np.zeros((rows, dim), np.float32)
    folder = tempfile.gettempdir()
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            if hasattr(os, "posix_fallocate"):  # a disk that fills up later would kill the process
                os.posix_fallocate(file.fileno(), 0, size)
            return np.memmap(file, np.float32, "r+", shape=(rows, dim))
    except OSError as error:
        raise DataError(
            f"{folder}: no room for {size / 2**30:.1f} GiB of vectors: {error.strerror};"
            " set TMPDIR to a folder that has it"
        ) from None


def spans(array: NDArray[Any]) -> Iterator[slice]:
    """Yield slices of at most 64 MiB that cover the rows, giving back each when it is done."""
    step = _rows(array.nbytes // max(1, len(array)))
    for start in range(0, len(array), step):
        yield slice(start, start + step)
        release(array)


def blocks(
    vectors: NDArray[np.floating[Any]], rows: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], Matrix]]:
    """Yield (some of the rows, their vectors as float32 [some, dim]), at most 64 MiB at once."""
    step = _rows(4 * vectors.shape[1])
    for start in range(0, len(rows), step):
        some = rows[start : start + step]
        yield some, take(vectors, some)


def take(vectors: NDArray[np.floating[Any]], rows: NDArray[np.int64]) -> Matrix:
    """Return float32 [rows, dim], ``vectors[rows]``, read in the order in which they lie.

    What does not fit into 32 bits becomes infinite.
    """
    out = np.empty((len(rows), vectors.shape[1]), np.float32)
    order = np.argsort(rows, kind="stable")
    with np.errstate(over="ignore"):
        for start in range(0, len(rows), _PIECE):
            piece = order[start : start + _PIECE]
            out[piece] = vectors[rows[piece]]
            release(vectors)
    return out


def gather(vectors: NDArray[np.floating[Any]], source: NDArray[np.int64]) -> Matrix:
    """Return float32 [source, dim]: the vectors in another order, zero where it is -1.

    Parameters
    ----------
    vectors : [rows, dim], any float type
    source : int64 [source], a row, or -1 for none
    """
    out = zeros(len(source), vectors.shape[1])
    known = np.flatnonzero(source >= 0)
    step = _rows(4 * vectors.shape[1])
    for start in range(0, len(known), step):
        some = known[start : start + step]
        out[some] = take(vectors, source[some])
        release(out)
    return out


def release(array: NDArray[Any]) -> None:
    """Give back the pages of a mapped file; they are read anew when they are needed."""
    mapped: Any = array
    while isinstance(mapped, np.ndarray):
        # Changes to a private copy ("c") are nowhere but in its pages.
        if isinstance(mapped, np.memmap) and mapped.mode == "c":
            return
        mapped = mapped.base
    if isinstance(mapped, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


def _rows(row: int) -> int:
    """Return how many rows of so many bytes a block has."""
    return max(1, BLOCK // max(1, row))
