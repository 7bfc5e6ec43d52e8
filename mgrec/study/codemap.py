"""A map of a codebook: its first level's codes in the plane, near where their items are alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mgrec.data.blocks import blocks
from mgrec.data.features import Codes, Embeddings
from mgrec.study.attributes import Attribute

KINDS = 6  # of an attribute that have a colour of their own
BANDS: tuple[str, ...] = (
    "least taken quarter of codes",
    "second quarter",
    "third quarter",
    "most taken quarter",
)


@dataclass(frozen=True, eq=False)
class CodeMap:
    """The codes of a first level that some item has.

    Attributes
    ----------
    block : ``text``, ``image``, ``fused``
    code : int64 [codes]
    place : float64 [codes, 2], principal components of the codes' centres
    items : int64 [codes]
    group : int64 [codes], -1 for none of those named
    groups : names of the colours
    by : what colours are: an attribute's name, or ``popularity``
    share : float64 [codes], the part of a code's items that are of its group; NaN by popularity
    explained : part of the centres' variance that the plane keeps
    """

    block: str
    code: NDArray[np.int64]
    place: NDArray[np.float64]
    items: NDArray[np.int64]
    group: NDArray[np.int64]
    groups: tuple[str, ...]
    by: str
    share: NDArray[np.float64]
    explained: float

    @property
    def ordered(self) -> bool:
        """Whether the groups are steps of one scale."""
        return self.groups == BANDS


def codemap(
    name: str,
    codes: Codes,
    vectors: Embeddings,
    counts: NDArray[np.integer],
    attribute: Attribute | None,
) -> CodeMap:
    """Draw the first level of a block up.

    Parameters
    ----------
    vectors : what the block was made of; a code's centre is the mean of its items' vectors
    counts : int [items], how often training saw each item
    attribute : colours each code by the kind that most of its items are of; None by popularity
    """
    centre, items = centres(codes, vectors)
    there = np.flatnonzero(items)
    place, explained = plane(centre[there])
    first = codes.codes[codes.present, 0]
    if attribute is None:
        taken = np.bincount(first, counts[codes.present], codes.sizes[0])[there] / items[there]
        group, groups, by = _quarters(taken), BANDS, "popularity"
        share = np.full(len(there), np.nan)
    else:
        kind = attribute.kind[codes.present]
        table = np.zeros((codes.sizes[0], len(attribute.kinds)), np.int64)
        np.add.at(table, (first[kind >= 0], kind[kind >= 0]), 1)
        table = table[there]
        group, groups, by = table.argmax(1), attribute.kinds[:KINDS], attribute.name
        share = table.max(1) / items[there]
        group = np.where((group < KINDS) & (share > 0), group, -1)
    return CodeMap(name, there, place, items[there], group, groups, by, share, explained)


def centres(codes: Codes, vectors: Embeddings) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the mean vector of each first code's items, float64 [codes, dim], and their number."""
    rows = np.flatnonzero(codes.present)
    total = np.zeros((codes.sizes[0], vectors.dim))
    for some, block in blocks(vectors.vectors, rows):
        np.add.at(total, codes.codes[some, 0], block)
    items = np.bincount(codes.codes[rows, 0], minlength=codes.sizes[0]).astype(np.int64)
    return total / np.maximum(items, 1)[:, None], items


def plane(points: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Return the first two principal components [points, 2], and the part of variance kept."""
    centred = points - points.mean(0)
    left, strength, axes = np.linalg.svd(centred, full_matrices=False)
    kept = (left * strength)[:, :2]
    largest = np.abs(axes[:2]).argmax(1)
    kept = kept * np.where(axes[np.arange(len(axes[:2])), largest] < 0, -1, 1)
    placed = np.zeros((len(points), 2))
    placed[:, : kept.shape[1]] = kept
    total = float(np.square(strength).sum())
    return placed, float(np.square(strength[:2]).sum() / total) if total else 1.0


def _quarters(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return int64 [n], 0 to 3: which quarter of the values each is in, equal ones together."""
    order = np.searchsorted(np.sort(values), values, side="left")
    return np.asarray(order * len(BANDS) // max(len(values), 1), np.int64)
