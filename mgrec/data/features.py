"""What is known of every item in one modality: vectors or codes, and which items have them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Embeddings:
    """One vector an item in one modality.

    Attributes
    ----------
    vectors : float32 [items, dim]
        Row i belongs to item index i; rows of items without the modality are zero. More than
        512 MiB of them are mapped from a file: read them by `mgrec.data.blocks`.
    present : bool [items]
        Which items have the modality.
    """

    vectors: NDArray[np.float32]
    present: NDArray[np.bool_]

    @property
    def dim(self) -> int:
        return int(self.vectors.shape[1])

    def select(self, rows: NDArray[np.integer]) -> Embeddings:
        """Return some items' rows, copied, in the order named."""
        return Embeddings(self.vectors[rows], self.present[rows])


@dataclass(frozen=True)
class Codes:
    """One code a level for every item in one modality.

    Attributes
    ----------
    codes : int32 [items, levels]
        ``0 <= codes[:, l] < sizes[l]``; rows of items without the modality are zero.
    present : bool [items]
        Which items have the modality.
    sizes : tuple of int
        Codebook size of each level.
    """

    codes: NDArray[np.int32]
    present: NDArray[np.bool_]
    sizes: tuple[int, ...]

    @property
    def levels(self) -> int:
        return len(self.sizes)

    def select(self, rows: NDArray[np.integer]) -> Codes:
        """Return some items' rows, copied, in the order named."""
        return Codes(self.codes[rows], self.present[rows], self.sizes)
