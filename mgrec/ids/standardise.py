"""Standardised embeddings: centred, of unit scale, optionally their principal components only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mgrec.data.arrays import LARGEST
from mgrec.data.blocks import blocks, release, take, zeros
from mgrec.data.features import Embeddings
from mgrec.errors import DataError

Matrix = NDArray[np.float32]

SAMPLE = 100_000  # rows that principal components are computed from


@dataclass(frozen=True, eq=False)
class Standardiser:
    """``(vectors - mean) @ axes / scale``; one scale for all dimensions.

    One scale keeps distances as the encoder means them. Scaling each dimension by itself makes no
    difference on MiniLM's text (of 10 nearest neighbours, .67 share the first code either way),
    but loses on principal components of pictures (.30 instead of .37), whose variances mean
    something, and would blow up dimensions that are all but constant.

    Attributes
    ----------
    mean : float32 [dim]
    axes : float32 [dim, kept], principal axes, or an empty array where all dimensions are kept
    scale : root mean square of a coordinate of the training vectors
    """

    mean: Matrix
    axes: Matrix
    scale: float

    @classmethod
    def fit(cls, embeddings: Embeddings, *, pca: int = 0, seed: int = 0) -> Standardiser:
        """Measure mean, axes and scale over the items that have the modality.

        Parameters
        ----------
        pca : principal components kept; 0, or as many as there are dimensions, keeps all

        Raises
        ------
        DataError
            If no item has a vector.
        """
        rows = np.flatnonzero(embeddings.present)
        if not len(rows):
            raise DataError("embeddings: no item has any, expected at least one")
        vectors, total = embeddings.vectors, np.zeros(embeddings.dim)
        for _, block in blocks(vectors, rows):
            total += block.sum(0, dtype=np.float64)
        mean = (total / len(rows)).astype(np.float32)
        axes = np.zeros((0, 0), np.float32)
        if 0 < pca < embeddings.dim:
            drawn = np.random.default_rng(seed).permutation(rows)[:SAMPLE]
            axes = _axes(take(vectors, drawn) - mean, pca)
        squares = sum(
            float(np.square(_project(block, mean, axes), dtype=np.float64).sum())
            for _, block in blocks(vectors, rows)
        )
        scale = (squares / len(rows) / (axes.shape[1] or embeddings.dim)) ** 0.5
        return cls(mean, axes, scale or 1.0)

    def apply(self, embeddings: Embeddings) -> Embeddings:
        """Standardise; rows without the modality stay zero.

        Raises
        ------
        DataError
            If the vectors have another dimension than those it was fitted on, or a value so large
            that distances overflow float32.
        """
        if embeddings.dim != len(self.mean):
            raise DataError(
                f"embeddings: found {embeddings.dim} dimensions, expected {len(self.mean)}"
            )
        vectors = zeros(len(embeddings.vectors), self.axes.shape[1] or embeddings.dim)
        for rows, block in blocks(embeddings.vectors, np.flatnonzero(embeddings.present)):
            with np.errstate(over="ignore"):
                made = _project(block, self.mean, self.axes) / np.float32(self.scale)
            far = ~(np.abs(made) <= LARGEST).all(axis=1)
            if far.any():
                row = int(far.argmax())
                raise DataError(
                    f"embeddings, row {rows[row] + 1}: found values up to"
                    f" {np.abs(block[row]).max():.3g}, expected values like those of training,"
                    f" whose standard deviation is {self.scale:.3g}"
                )
            vectors[rows] = made
            release(vectors)
        return Embeddings(vectors, embeddings.present)

    def state(self) -> dict[str, NDArray[np.float32]]:
        """Return everything as arrays."""
        return {"mean": self.mean, "axes": self.axes, "scale": np.array([self.scale], np.float32)}

    @classmethod
    def from_state(cls, state: Mapping[str, NDArray[np.float32]]) -> Standardiser:
        """Put together what `state` returned."""
        return cls(state["mean"], state["axes"], float(state["scale"][0]))


def fused(embeddings: Mapping[str, Embeddings]) -> Embeddings:
    """Put standardised modalities side by side, for early fusion.

    Each is divided by the root of its width, so that all weigh the same in a distance. A missing
    modality is zero, its mean; an item is present where it has any.

    Raises
    ------
    DataError
        If there is no modality, or they differ in their number of items.
    """
    rows = {name: len(e.vectors) for name, e in embeddings.items()}
    if len(set(rows.values())) != 1:
        found = ", ".join(f"{n:,} items in {name}" for name, n in rows.items())
        raise DataError(f"early fusion: found {found or 'no modality'}, expected as many in each")
    present = np.logical_or.reduce([e.present for e in embeddings.values()])
    vectors, first = zeros(len(present), sum(e.dim for e in embeddings.values())), 0
    for part in embeddings.values():
        for at, block in blocks(part.vectors, np.flatnonzero(part.present)):
            vectors[at, first : first + part.dim] = block / np.float32(part.dim**0.5)
            release(vectors)
        first += part.dim
    return Embeddings(vectors, present)


def _axes(centred: Matrix, kept: int) -> Matrix:
    """Return the principal axes [dim, kept], each with its largest coordinate positive."""
    double = centred.astype(np.float64)
    _, found = np.linalg.eigh(double.T @ double)
    axes = found[:, ::-1][:, :kept]
    largest = np.abs(axes).argmax(0)
    signs = np.where(axes[largest, np.arange(axes.shape[1])] < 0, -1, 1)
    return np.ascontiguousarray(axes * signs, np.float32)


def _project(vectors: Matrix, mean: Matrix, axes: Matrix) -> Matrix:
    """Centre and rotate; in float64, so that rounding to float32 hides what differs by batch."""
    centred = vectors - mean
    if not axes.size:
        return centred
    return (centred.astype(np.float64) @ axes.astype(np.float64)).astype(np.float32)
