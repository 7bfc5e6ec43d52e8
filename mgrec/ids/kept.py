"""Kept items: which items may come out, counted along a trie's leaves so that any node can ask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from mgrec.ids.children import Children
from mgrec.ids.trie import Trie


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

    @cached_property
    def shared(self) -> Tensor:
        """uint8 [kept + 2]: how many codes a kept leaf shares with the kept leaf before.

        Of the end it is 0, and what stands last stands behind the end, which may be asked for.
        """
        shared = torch.full((self.n_items + 2,), 255, dtype=torch.uint8)
        return shared.scatter_reduce(0, self.before.long(), self.trie.shared, "amin")

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

    def holds(self, leaves: Tensor, users: Tensor) -> Tensor:
        """Return bool [rows, m]: which leaves, int64 [rows, m], are kept; the same for all."""
        return ~self.empty(self.trie.depth - 1)[leaves]

    def beside(self, leaves: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return of kept leaves, int32 [users, m]: their places among the kept ones, and how many
        codes they share with the kept one before and with the one behind, uint8 [users, m]."""
        place = self.before[leaves]
        return place, self.shared[place], self.shared[place + 1]

    def select(self, users: Tensor) -> Kept:
        """Return what some of the users may have: the same."""
        return self


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

    def holds(self, leaves: Tensor, users: Tensor) -> Tensor:
        """Return bool [rows, m]: which leaves, int64 [rows, m], each row's user may have."""
        table, shift = self._table(self.masks[0].trie.depth - 1, users)
        return ~table[leaves + shift[:, None]]

    def _table(self, level: int, users: Tensor) -> tuple[Tensor, Tensor]:
        """Return bool [masks * nodes], all masks behind each other, as one look-up costs the least,
        and int64 [users], where in it each user's mask begins."""
        if level not in self._nodes:
            self._nodes[level] = torch.cat([kept.empty(level) for kept in self.masks])
        table = self._nodes[level]
        return table, self.which[users] * (len(table) // len(self.masks))

    def beside(self, leaves: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return places and shared codes as `Kept.beside` does, each user's among its own."""
        order = self.which.argsort(stable=True)
        sizes = self.which.bincount(minlength=len(self.masks)).tolist()
        parts = leaves[order].split(sizes)  # views, so that a mask costs its look-ups only
        found = [kept.beside(part) for kept, part in zip(self.masks, parts, strict=True)]
        back = torch.empty_like(order).scatter_(0, order, torch.arange(len(order)))
        place, left, right = (torch.cat(side)[back] for side in zip(*found, strict=True))
        return place, left, right

    def select(self, users: Tensor) -> Apart:
        """Return what some of the users may have, in the order named."""
        return Apart(self.masks, self.which[users], self._nodes)
