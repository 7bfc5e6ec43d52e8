"""Selections: the items that a condition allows, remembered by its text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from mgrec.conditions.masks import mask
from mgrec.ids.kept import Kept
from mgrec.ids.trie import Trie

ROOM = 256 << 20  # bytes that remembered selections may take
EACH = 10  # bytes an item: the mask, its sums, and what of it each level of the trie asks for


@dataclass(frozen=True, eq=False)
class Selection:
    """Items allowed, as a mask of bool [items] and along the trie's leaves."""

    keep: NDArray[np.bool_]
    kept: Kept

    @classmethod
    def of(cls, trie: Trie, keep: NDArray[np.bool_]) -> Selection:
        """Count a mask along the leaves."""
        return cls(keep, Kept.of(trie, torch.from_numpy(keep)))


def selections(
    items: pl.DataFrame, trie: Trie, listed: NDArray[np.bool_]
) -> Callable[[str], Selection]:
    """Return what selects listed items, bool [items], by a condition.

    The latest are remembered, as many as fit.
    """
    most = max(4, min(1024, ROOM // (EACH * len(items))))

    @lru_cache(maxsize=most)
    def select(where: str) -> Selection:
        return Selection.of(trie, mask(where, items) & listed)

    return select
