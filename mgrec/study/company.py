"""The company that an item keeps: items with its first code, modality beside modality.

Figure 4 of arXiv 2503.23333.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mgrec.data.features import Codes

SHOWN = 8  # items a modality
FEW = 4  # a pivot shares each first code with at least so many, where any item does


@dataclass(frozen=True)
class Company:
    """A pivot item, and who shares a first code with it.

    Attributes
    ----------
    pivot : item index
    code : block -> the pivot's first code
    count : block -> how many other items share it
    shown : block -> the most taken of them, item indices
    in_all : how many others share every one
    """

    pivot: int
    code: Mapping[str, int]
    count: Mapping[str, int]
    shown: Mapping[str, tuple[int, ...]]
    in_all: int


def pivot_of(codes: Mapping[str, Codes], counts: NDArray[np.integer]) -> int | None:
    """Return the most taken item with every modality; None where no item has, or there is none.

    Items whose first codes are each shared by at least four others go before those in sparser
    company, of whom there would be little to see.

    Parameters
    ----------
    codes : block -> codes
    counts : int [items], how often training saw each item
    """
    if not codes:
        return None
    has = np.logical_and.reduce([block.present for block in codes.values()])
    if not has.any():
        return None
    company = np.minimum.reduce([_others(block) for block in codes.values()])
    rows = np.flatnonzero(has & (company >= FEW))
    rows = rows if len(rows) else np.flatnonzero(has)
    return int(rows[np.argmax(counts[rows])])


def company(codes: Mapping[str, Codes], counts: NDArray[np.integer], pivot: int) -> Company:
    """Return who shares a first code with the pivot, the most taken first.

    Parameters
    ----------
    codes : block -> codes; the pivot has all of these modalities
    counts : int [items], how often training saw each item
    """
    same = {
        name: block.present & (block.codes[:, 0] == block.codes[pivot, 0])
        for name, block in codes.items()
    }
    for mask in same.values():
        mask[pivot] = False
    order = np.argsort(-counts, kind="stable")
    return Company(
        pivot,
        {name: int(block.codes[pivot, 0]) for name, block in codes.items()},
        {name: int(mask.sum()) for name, mask in same.items()},
        {name: tuple(order[mask[order]][:SHOWN].tolist()) for name, mask in same.items()},
        int(np.logical_and.reduce(list(same.values())).sum()),
    )


def _others(block: Codes) -> NDArray[np.int64]:
    """Return int64 [items]: how many others have an item's first code."""
    first = block.codes[:, 0]
    counts = np.bincount(first[block.present], minlength=block.sizes[0])
    return np.asarray(counts[first] - 1, np.int64)
