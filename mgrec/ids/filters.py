"""Filters inside the search: which items a request allows, asked of any prefix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from mgrec.ids.children import Children, barrier
from mgrec.ids.kept import Apart, Kept
from mgrec.ids.trie import Trie


@dataclass(frozen=True, eq=False)
class Filter:
    """Items that may come out, for a batch of users; a filter masks and never rescales.

    Attributes
    ----------
    kept : what everybody may have, or each user; None keeps all
    excluded : int32 [users, most] or None
        Each user's further excluded leaves, in ascending order, padded with the number of items.
    """

    trie: Trie
    kept: Kept | Apart | None = None
    excluded: Tensor | None = None

    @classmethod
    def of(
        cls,
        trie: Trie,
        keep: Tensor | Kept | Sequence[Kept] | None = None,
        exclude: Tensor | None = None,
    ) -> Filter:
        """Build a filter.

        Parameters
        ----------
        keep : bool [items], the items allowed for every user, or what was made of it, or one such
            for each user; None: all
        exclude : int64 [users, most] or None, further items not allowed, a row a user, -1 for none
        """
        kept: Kept | Apart | None
        if isinstance(keep, Tensor):
            kept = Kept.of(trie, keep)
        elif isinstance(keep, Kept) or keep is None:
            kept = keep
        else:
            apart = Apart.of(keep)
            kept = apart.masks[0] if len(apart.masks) == 1 else apart
        allow = cls(trie, kept)
        return allow if exclude is None or not exclude.numel() else allow.without(exclude)

    def without(self, items: Tensor) -> Filter:
        """Return the filter that excludes further items, int64 [users, n], -1 for none."""
        leaf = self.trie.leaf_of_item[items.clamp(min=0)].masked_fill(items < 0, self.trie.n_items)
        if self.kept is not None:  # what nobody may have must not be taken off twice
            place = leaf.long().clamp(max=self.trie.n_items - 1)
            users = torch.arange(len(leaf), device=leaf.device)
            kept = self.kept.holds(place, users)
            leaf = leaf.masked_fill(~kept, self.trie.n_items)
        if self.excluded is not None:
            leaf = torch.cat([self.excluded, leaf], 1)
        return replace(self, excluded=_unique_rows(leaf, self.trie.n_items))

    @cached_property
    def emptied(self) -> Tensor:
        """uint8 [users, most]: the first level where an excluded leaf's node has nothing allowed.

        That is how many codes the leaf shares with the nearest allowed leaf on either side; 255
        where there is padding.
        """
        assert self.excluded is not None
        pad = self.excluded == self.trie.n_items
        if self.kept is None:
            place, shared = self.excluded, self.trie.shared
            left, right = shared[place], shared[(place + 1).clamp(max=len(shared) - 1)]
        else:  # as if the kept leaves were all
            place, left, right = self.kept.beside(self.excluded)
        follows = torch.zeros_like(pad)
        follows[:, 1:] = (place[:, 1:] == place[:, :-1] + 1) & ~pad[:, 1:]
        if bool(follows.any()):  # what stands beside it is excluded too: look beyond
            run = (~follows).cumsum(1)
            left = _least_so_far(left, run)
            right = _least_so_far(right.flip(1), (-run).flip(1)).flip(1)
        return torch.maximum(left, right).masked_fill(pad, 255)

    def select(self, users: Tensor) -> Filter:
        """Return the filter of some of the users, in the order named."""
        kept = None if self.kept is None else self.kept.select(users)
        return Filter(self.trie, kept, None if self.excluded is None else self.excluded[users])

    def bar(self, level: int, children: Children, users: Tensor, scores: Tensor) -> None:
        """Set the scores of children with no allowed item under them to -inf.

        Not every node is looked at: the few that a user's exclusions empty are sought among the
        rows' children instead.

        Parameters
        ----------
        children : each row those of a node that was left by the level before
        users : int64 [rows], whose exclusions hold in a row
        scores : float32 [rows, width], changed in place
        """
        if not scores.numel():
            return
        if self.kept is not None:
            scores += barrier(self.kept.barred(level, children, users))
        if self.excluded is None:
            return
        user, place = (self.emptied == level).nonzero(as_tuple=True)
        if not len(user):
            return
        most = children.width
        stride = len(self.trie.levels[level].code) + most  # of a user's keys, padding included
        keys = user * stride + self.trie.levels[level].node_of(self.excluded[user, place])
        begin = users * stride + children.begin
        past = torch.searchsorted(keys, begin + most)
        hits = past - torch.searchsorted(keys, begin)
        row = torch.repeat_interleave(hits)
        key = keys[torch.arange(len(row), device=row.device) + (past - hits.cumsum(0))[row]]
        scores[row, key - begin[row]] = float("-inf")

    def items(self, users: int) -> Tensor:
        """Return bool [users, items]: the allowed ones, spelled out."""
        n = self.trie.n_items
        allowed = torch.ones(users, n + 1, dtype=torch.bool)
        if self.kept is not None:
            leaves, whose = torch.arange(n).expand(users, -1), torch.arange(users)
            allowed[:, :-1] &= self.kept.holds(leaves, whose)
        if self.excluded is not None:
            allowed.scatter_(1, self.excluded.long(), False)
        return allowed[:, self.trie.leaf_of_item.long()]


def _least_so_far(values: Tensor, run: Tensor) -> Tensor:
    """Return [users, m]: the least of uint8 values from the beginning of each one's run to it.

    `run` numbers the runs, upwards by one; each is pushed below the one before it.
    """
    push = (run - run[:, :1]) * 256
    return ((values - push).cummin(1).values + push).to(torch.uint8)


def _unique_rows(leaves: Tensor, pad: int) -> Tensor:
    """Sort each row of [users, most] and move its repeats behind the end as padding."""
    ordered = leaves.sort(dim=1).values
    repeat = torch.zeros_like(ordered, dtype=torch.bool)
    repeat[:, 1:] = ordered[:, 1:] == ordered[:, :-1]
    return ordered.masked_fill(repeat, pad).sort(dim=1).values.int().contiguous()
