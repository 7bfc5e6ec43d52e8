"""Residual k-means: the default quantiser, each level on what the levels before left over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mgrec.data.features import Codes, Embeddings
from mgrec.ids.codebooks import encode_present, quantise, restore, sample
from mgrec.ids.kmeans import kmeans, nearest
from mgrec.progress import bar

Matrix = NDArray[np.float32]

# A residual below this share of its vector's squared length is rounding: nothing is left to say.
_EXACT = 1e-10
# Vectors a code that centres are fitted on; faiss takes as many.
_POINTS = 256


@dataclass(frozen=True, eq=False)
class ResidualKMeans:
    """Codebooks of centres, one a level; expects standardised embeddings.

    Attributes
    ----------
    sizes : codes of each level, as asked for
    centres : float32 [codes, dim] a level; fewer where there were fewer distinct residuals
    """

    sizes: tuple[int, ...]
    centres: tuple[Matrix, ...]

    @classmethod
    def fit(
        cls,
        embeddings: Embeddings,
        sizes: tuple[int, ...],
        *,
        iterations: int = 25,
        seed: int = 0,
    ) -> ResidualKMeans:
        """Fit level after level on a sample of at most 256 vectors a code.

        Parameters
        ----------
        embeddings : of which only the present rows count; may be memory-mapped
        sizes : codes of each level
        iterations : Lloyd's passes a level, at most

        Raises
        ------
        DataError
            If no item has a vector, or one is not finite.
        """
        rng = np.random.default_rng(seed)
        residual = sample(embeddings, _POINTS * max(sizes), rng)
        exact = _EXACT * np.square(residual).sum(1)
        centres = []
        with bar("Residual k-means", iterations * len(sizes), "passes") as shown:
            for size in sizes:
                book = kmeans(residual, size, iterations, rng, shown.advance)
                residual -= book[nearest(residual, book)]
                residual[np.square(residual).sum(1) <= exact] = 0
                centres.append(book)
        return cls(tuple(sizes), tuple(centres))

    @property
    def dim(self) -> int:
        """Return the dimension of the vectors."""
        return int(self.centres[0].shape[1])

    def encode(self, embeddings: Embeddings) -> Codes:
        """Return the nearest centre of each level's residual; absent rows get zeros."""
        return encode_present(
            embeddings, self.dim, self.sizes, lambda points: quantise(points, self.centres)
        )

    def decode(self, codes: Codes) -> Matrix:
        """Return float32 [items, dim]: the sum of each item's centres, zero where absent."""
        vectors = restore(codes.codes, self.centres)
        vectors[~codes.present] = 0
        return vectors

    def state(self) -> dict[str, NDArray[Any]]:
        """Return everything as arrays."""
        books = {f"centres{level}": centres for level, centres in enumerate(self.centres)}
        return {"sizes": np.array(self.sizes, np.int64), **books}

    @classmethod
    def from_state(cls, state: Mapping[str, NDArray[Any]]) -> ResidualKMeans:
        """Put together what `state` returned."""
        sizes = tuple(int(size) for size in state["sizes"])
        return cls(sizes, tuple(state[f"centres{level}"] for level in range(len(sizes))))
