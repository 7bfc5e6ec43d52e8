"""Popularity: what is answered where nothing is known of a history."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Popularity:
    """How much of a log each item has.

    Attributes
    ----------
    order : int64 [items], most popular first
    logs : float32 [items], the logarithm of each item's share, one interaction added to every item
    """

    order: NDArray[np.int64]
    logs: NDArray[np.float32]

    @classmethod
    def of(cls, counts: NDArray[np.integer]) -> Popularity:
        """Order the items by int [items], how often each was taken."""
        share = (counts + 1) / (counts.sum() + len(counts))
        return cls(np.argsort(-counts, kind="stable"), np.log(share).astype(np.float32))

    def best(
        self, k: int, keep: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return the k most popular items, of those that bool [items] keeps, and their logs."""
        items = (self.order if keep is None else self.order[keep[self.order]])[:k]
        return items, self.logs[items]
