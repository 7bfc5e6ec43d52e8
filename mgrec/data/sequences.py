"""Rows of item indices of unequal length, in one flat array."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Sequences:
    """Compressed rows: row r is ``items[offsets[r]:offsets[r + 1]]``, oldest first.

    Attributes
    ----------
    offsets : int64 [rows + 1]
    items : int32 [sum of lengths]
    """

    offsets: NDArray[np.int64]
    items: NDArray[np.int32]

    @classmethod
    def of(cls, rows: Sequence[Sequence[int] | NDArray[np.integer]]) -> "Sequences":
        """Pack a list of rows."""
        lengths = np.fromiter((len(row) for row in rows), np.int64, len(rows))
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        nothing = np.empty(0, np.int32)
        return cls(offsets, np.concatenate([nothing, *(np.asarray(r, np.int32) for r in rows)]))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> NDArray[np.int32]:
        return self.items[self.offsets[row] : self.offsets[row + 1]]

    def __iter__(self) -> Iterator[NDArray[np.int32]]:
        return (self[row] for row in range(len(self)))

    @property
    def lengths(self) -> NDArray[np.int64]:
        """int64 [rows]"""
        return np.diff(self.offsets)

    def select(self, rows: NDArray[np.integer]) -> "Sequences":
        """Return the named rows, in the order named."""
        return self.slices(self.offsets[rows], self.offsets[np.asarray(rows) + 1])

    def slices(self, start: NDArray[np.integer], stop: NDArray[np.integer]) -> "Sequences":
        """Return ``items[start[r]:stop[r]]`` for every r; both are [rows], into the flat array."""
        lengths = np.maximum(np.asarray(stop) - np.asarray(start), 0)
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
        return Sequences(offsets, self.items[np.repeat(start, lengths) + within])

    def last(self, n: int) -> "Sequences":
        """Return every row's last n items."""
        stop = self.offsets[1:]
        return self.slices(np.maximum(self.offsets[:-1], stop - n), stop)

    def padded(self, pad: int = -1) -> NDArray[np.int64]:
        """Return [rows, longest] with rows on the left and ``pad`` behind them."""
        width = int(self.lengths.max(initial=0))
        out = np.full((len(self), width), pad, np.int64)
        out[np.arange(width) < self.lengths[:, None]] = self.items
        return out
