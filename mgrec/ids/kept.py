"""Kept items: which items may come out, counted along a trie's leaves so that any node can ask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mgrec.ids.children import Children
from mgrec.ids.trie import Trie

Ints = NDArray[np.integer]


@dataclass(frozen=True, eq=False)
class Kept:
    """The items that everybody may have, such as those with an attribute, along the trie's leaves.

    It takes a pass over the catalogue to make, and serves any number of requests after that.

    Attributes
    ----------
    before : int32 [items + 1], how many kept items stand before a leaf
    """

    trie: Trie
    before: Tensor
    _nodes: dict[int, Tensor] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, trie: Trie, keep: Tensor) -> Kept:
        """Count along the leaves what bool [items] keeps."""
        before = torch.zeros(trie.n_items + 1, dtype=torch.int32, device=keep.device)
        before[1:] = keep.index_select(0, trie.item_of_leaf)
        return cls(trie, before.cumsum_(0))

    @property
    def n_items(self) -> int:
        """How many are kept."""
        return int(self.before[-1])

    def empty(self, level: int) -> Tensor:
        """Return bool [nodes]: which of a level have no kept item under them."""
        if level not in self._nodes:
            first = self.trie.levels[level].firsts
            before = self.before if first is None else self.before.index_select(0, first)
            self._nodes[level] = before[1:] == before[:-1]
        return self._nodes[level]

    def barred(self, level: int, children: Children, users: Tensor) -> Tensor:
        """Return bool [rows, width]: which children have none under them, whoever asks."""
        return children.of(self.empty(level))

    @property
    def leaves(self) -> Tensor:
        """bool [1, items]: which leaves are kept, for all alike."""
        return ~self.empty(self.trie.depth - 1)[None]

    def between(self, low: Ints, high: Ints, users: Ints) -> Ints:
        """Return int [n]: how many leaves from low to before high, int [n], are kept, whoever
        asks."""
        before = self.before.numpy()
        return before[high] - before[low]


@dataclass(frozen=True, eq=False)
class Apart:
    """Items that each user of a batch may have, as not all may have the same.

    Attributes
    ----------
    masks : the different ones, each once
    which : int64 [users], whose is which
    """

    masks: tuple[Kept, ...]
    which: Tensor
    _nodes: dict[int, Tensor] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, kept: Sequence[Kept]) -> Apart:
        """Put together one a user; the same object counts as the same items."""
        masks = {id(one): one for one in kept}
        place = {name: number for number, name in enumerate(masks)}
        which = torch.tensor([place[id(one)] for one in kept])
        return cls(tuple(masks.values()), which)

    def barred(self, level: int, children: Children, users: Tensor) -> Tensor:
        """Return bool [rows, width]: which children have nothing for the row's user."""
        table, shift = self._table(level, users)
        return Children(children.begin + shift, children.count).of(table)

    @property
    def leaves(self) -> Tensor:
        """bool [users, items]: which leaves each user may have."""
        return torch.cat([kept.leaves for kept in self.masks])[self.which]

    def between(self, low: Ints, high: Ints, users: Ints) -> Ints:
        """Return int [n]: how many leaves from low to before high users may have, int [n] each."""
        which, found = self.which.numpy()[users], np.empty(len(low), np.int32)
        for number, kept in enumerate(self.masks):
            mine = which == number
            found[mine] = kept.between(low[mine], high[mine], users)
        return found

    def _table(self, level: int, users: Tensor) -> tuple[Tensor, Tensor]:
        """Return bool [masks * nodes], all masks behind each other, as one look-up costs the least,
        and int64 [users], where in it each user's mask begins."""
        if level not in self._nodes:
            self._nodes[level] = torch.cat([kept.empty(level) for kept in self.masks])
        table = self._nodes[level]
        return table, self.which[users] * (len(table) // len(self.masks))
