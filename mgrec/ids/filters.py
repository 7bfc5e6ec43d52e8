"""Filters inside the search: which items a request allows, asked of any prefix."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mgrec.ids.trie import Trie


@dataclass(frozen=True)
class Filter:
    """Items that may come out, counted along the trie's leaves; a filter masks and never rescales.

    Attributes
    ----------
    before : int32 [items + 1] or None
        How many items kept for everybody stand before a leaf; None keeps all.
    excluded : int32 [users, most] or None
        Each user's further excluded leaves, in ascending order, padded with the number of items.
    """

    trie: Trie
    before: Tensor | None = None
    excluded: Tensor | None = None

    @classmethod
    def of(cls, trie: Trie, keep: Tensor | None = None, exclude: Tensor | None = None) -> Filter:
        """Build a filter.

        Parameters
        ----------
        keep : bool [items] or None, the items allowed for every user
        exclude : int64 [users, most] or None, further items not allowed, a row a user, -1 for none
        """
        before = excluded = None
        if keep is not None:
            before = torch.zeros(trie.n_items + 1, dtype=torch.int32, device=keep.device)
            before[1:] = keep[trie.item_of_leaf.long()].cumsum(0)
        if exclude is not None and exclude.numel():
            wanted = exclude >= 0
            if keep is not None:  # what nobody may have must not be taken off twice
                wanted &= keep[exclude.clamp(min=0)]
            leaf = trie.leaf_of_item[exclude.clamp(min=0)]
            excluded = _unique_rows(torch.where(wanted, leaf, trie.n_items), trie.n_items)
        return cls(trie, before, excluded)

    def select(self, users: Tensor) -> Filter:
        """Return the filter of some of the users, in the order named."""
        excluded = None if self.excluded is None else self.excluded[users]
        return Filter(self.trie, self.before, excluded)

    def counts(self, level: int, nodes: Tensor) -> Tensor:
        """Return int64 [users, m]: allowed items under ``nodes`` [users, m] of a level."""
        first = self.trie.levels[level].first
        low, high = first[nodes], first[nodes + 1]
        count = high - low if self.before is None else self.before[high] - self.before[low]
        count = count.long()
        if self.excluded is not None:
            count = count - torch.searchsorted(self.excluded, high.contiguous())
            count = count + torch.searchsorted(self.excluded, low.contiguous())
        return count

    def items(self, users: int) -> Tensor:
        """Return bool [users, items]: the allowed ones, spelled out."""
        n = self.trie.n_items
        allowed = torch.ones(users, n + 1, dtype=torch.bool)
        if self.before is not None:
            allowed[:, :-1] &= self.before.diff() > 0
        if self.excluded is not None:
            allowed.scatter_(1, self.excluded.long(), False)
        return allowed[:, self.trie.leaf_of_item.long()]


def _unique_rows(leaves: Tensor, pad: int) -> Tensor:
    """Sort each row of [users, most] and move its repeats behind the end as padding."""
    ordered = leaves.sort(dim=1).values
    repeat = torch.zeros_like(ordered, dtype=torch.bool)
    repeat[:, 1:] = ordered[:, 1:] == ordered[:, :-1]
    return ordered.masked_fill(repeat, pad).sort(dim=1).values.int().contiguous()
