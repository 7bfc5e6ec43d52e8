"""Vectors as encoders give them: clusters within clusters, and a spectrum that decays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float32]

COARSE, FINE = 64, 4096
# Standard deviations of the three levels; the noise is what no code can know.
WEIGHTS = (0.6, 0.5, 0.6)
# The deviation along the j-th axis is j ** -DECAY.
DECAY = 0.4
_BLOCK = 1 << 16


@dataclass(frozen=True)
class Mixture:
    """A Gaussian mixture whose coordinates have zero mean and, on average, unit variance.

    Attributes
    ----------
    coarse : float32 [64, dim]
    fine : float32 [4096, dim]
    scale : float32 [dim], the spectrum
    share : float64 [64], how many of the vectors are in each coarse cluster: few in most
    """

    coarse: Matrix
    fine: Matrix
    scale: Matrix
    share: NDArray[np.float64]

    @classmethod
    def of(cls, dim: int, seed: int = 0) -> Mixture:
        rng = np.random.default_rng(seed)
        scale = np.arange(1, dim + 1) ** -DECAY
        scale /= np.sqrt(np.square(scale).mean() * np.square(WEIGHTS).sum())
        share = 1 / np.arange(10, 10 + COARSE)
        coarse, fine = (rng.standard_normal((n, dim), np.float32) for n in (COARSE, FINE))
        return cls(coarse, fine, scale.astype(np.float32), share / share.sum())

    def blocks(self, rows: int, seed: int) -> Iterator[Matrix]:
        """Yield float32 [up to 65,536, dim] until there are so many rows."""
        rng = np.random.default_rng(seed)
        for start in range(0, rows, _BLOCK):
            size = min(_BLOCK, rows - start)
            # A fine cluster is of one coarse cluster: the first 64 of them of the first, ...
            coarse = rng.choice(COARSE, size, p=self.share)
            fine = coarse * (FINE // COARSE) + rng.integers(FINE // COARSE, size=size)
            block = rng.standard_normal((size, len(self.scale)), np.float32)
            block *= np.float32(WEIGHTS[2])
            block += np.float32(WEIGHTS[1]) * self.fine[fine]
            block += np.float32(WEIGHTS[0]) * self.coarse[coarse]
            yield block * self.scale

    def draw(self, rows: int, seed: int) -> Matrix:
        """Return float32 [rows, dim]."""
        out = np.empty((rows, len(self.scale)), np.float32)
        start = 0
        for block in self.blocks(rows, seed):
            out[start : start + len(block)] = block
            start += len(block)
        return out
