"""Variety: at most so many answers that share a value of an attribute."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mgrec.conditions.columns import known
from mgrec.conditions.masks import column_of
from mgrec.data.columns import kind_of
from mgrec.data.sequences import Sequences
from mgrec.errors import RequestError

ATTRIBUTES = 32  # whose values are remembered


def attributes(items: pl.DataFrame) -> Callable[[str], Sequences]:
    """Return what numbers an attribute's values: row = item; the latest are remembered."""

    @lru_cache(maxsize=ATTRIBUTES)
    def of(name: str) -> Sequences:
        return values_of(column_of(name, items, "max_per"))

    return of


def values_of(column: pl.Series) -> Sequences:
    """Return the numbers of every row's values: of a list each once, none where it is missing.

    Raises
    ------
    RequestError
        If its values cannot be told apart.
    """
    kind = kind_of(column.dtype)
    if kind == "other":
        raise RequestError(
            f"max_per: found '{column.name}' of type {column.dtype}, expected an attribute of"
            " texts, numbers, dates, true and false, or lists of them"
        )
    if isinstance(column.dtype, pl.Array):
        column = column.arr.to_list()
    if kind == "list":
        rows = pl.DataFrame({"value": column}).with_row_index("row").explode("value")
    else:
        rows = pl.DataFrame({"value": column}).with_row_index("row")
    rows = rows.with_columns(value=known(rows["value"])).drop_nulls("value").unique()
    rows = rows.sort("row", "value")
    lengths = np.bincount(rows["row"].to_numpy(), minlength=len(column))
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Sequences(offsets, (rows["value"].rank("dense").to_numpy() - 1).astype(np.int32))


@dataclass(eq=False)
class Selected:
    """A greedy selection as it grows: the best first, passed over where a value is used up.

    Attributes
    ----------
    k : how many are wanted
    limits : each attribute's values and how many answers may share one
    items, scores : what was taken
    blocked : bool [items], what was looked at or can no longer be taken
    """

    k: int
    limits: Sequence[tuple[Sequences, int]]
    blocked: NDArray[np.bool_]
    items: list[int] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    counts: list[Counter[int]] = field(default_factory=list)

    @classmethod
    def none(
        cls, max_per: Mapping[str, int], values: Callable[[str], Sequences], k: int
    ) -> Selected:
        """Begin a selection under at least one limit.

        Raises
        ------
        RequestError
            If there is no such attribute.
        """
        limits = [(values(name), most) for name, most in max_per.items()]
        counts: list[Counter[int]] = [Counter() for _ in limits]
        return cls(k, limits, np.zeros(len(limits[0][0]), bool), counts=counts)

    @property
    def full(self) -> bool:
        return len(self.items) == self.k

    def take(self, items: NDArray[np.int64], scores: NDArray[np.float32]) -> None:
        """Go on with further items, best first."""
        for item, score in zip(items.tolist(), scores.tolist(), strict=True):
            if self.full:
                return
            if not self.blocked[item]:
                self.items.append(item)
                self.scores.append(score)
                self._count(item)
            self.blocked[item] = True

    def best(self) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return what was taken, best first; a later search may have found better than an early."""
        order = np.argsort(-np.array(self.scores), kind="stable")
        return np.array(self.items, np.int64)[order], np.array(self.scores, np.float32)[order]

    def _count(self, item: int) -> None:
        """Count an item's values, and block all items of one that is used up."""
        for (values, most), counter in zip(self.limits, self.counts, strict=True):
            for value in values[item].tolist():
                counter[value] += 1
                if counter[value] == most:
                    holders = np.flatnonzero(values.items == value)
                    self.blocked[np.searchsorted(values.offsets, holders, side="right") - 1] = True
