"""Excluded items: those that single users of a batch may not have, sought among prefixes by name.

They are a handful of numbers a user, for which NumPy's calls take a third of the time of PyTorch's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mgrec.ids.children import Children
from mgrec.ids.kept import Apart, Kept
from mgrec.ids.trie import Trie


@dataclass(frozen=True, eq=False)
class Excluded:
    """What each user of a batch may not have, of what everybody or the user may have otherwise.

    Attributes
    ----------
    kept : the items that are left without exclusions; None: all
    keys : int64 [n]
        ``user * (items + 1) + leaf``, ascending, each once: one user's last leaf and the next
        one's first never stand side by side.
    """

    trie: Trie
    kept: Kept | Apart | None
    keys: NDArray[np.int64]

    @classmethod
    def of(cls, trie: Trie, kept: Kept | Apart | None, items: Tensor) -> Excluded:
        """Exclude items, int64 [users, most], -1 for none; those not kept are out without it."""
        listed = items.cpu().numpy()
        user, place = (listed >= 0).nonzero()
        leaf = trie.leaf_of_item.numpy()[listed[user, place]]
        if kept is not None:  # what nobody may have must not be taken off twice
            held = kept.between(leaf, leaf + 1, user) > 0
            user, leaf = user[held], leaf[held]
        return cls(trie, kept, _once(user * (trie.n_items + 1) + leaf))

    def joined(self, other: Excluded) -> Excluded:
        """Return what either excludes, of the same kept items."""
        return Excluded(self.trie, self.kept, _once(np.append(self.keys, other.keys)))

    def bar(self, level: int, children: Children, users: Tensor, scores: Tensor) -> None:
        """Set the scores of children with nothing allowed under them to -inf, as `Filter.bar`.

        Those are the nodes with as many excluded leaves as kept ones. Not every node is looked at,
        but those alone that excluded leaves of the rows lie under.
        """
        nodes = self.trie.levels[level]
        user, begin = users.cpu().numpy(), children.begin.cpu().numpy()  # [rows]
        shift = user * (self.trie.n_items + 1)
        past = self.keys.searchsorted(shift + nodes.leaf(begin + children.count.cpu().numpy()))
        hits = past - self.keys.searchsorted(shift + nodes.leaf(begin))  # excluded under each row
        row = np.arange(len(hits)).repeat(hits)
        if not len(row):
            return
        # [hits]: a row, an excluded leaf under it, and the child that the leaf lies under.
        key = self.keys[np.arange(len(row)) + (past - hits.cumsum())[row]]
        node = nodes.node_of(torch.from_numpy(key - shift[row])).numpy()
        differs = (node[1:] != node[:-1]) | (row[1:] != row[:-1])
        opens = np.append(0, differs.nonzero()[0] + 1)  # each node's first excluded leaf
        counts = np.append(opens[1:], len(row)) - opens  # [nodes that have some], as what follows
        row, node = row[opens], node[opens]
        low, high = nodes.leaf(node), nodes.leaf(node + 1)
        leaves = high - low if self.kept is None else self.kept.between(low, high, user[row])
        emptied = counts == leaves
        row, child = row[emptied], (node - begin[row])[emptied]
        scores[torch.from_numpy(row), torch.from_numpy(child)] = float("-inf")


def _once(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the different ones, ascending; `numpy.unique` takes five times as long for so few."""
    keys = np.sort(keys)
    first = np.ones(len(keys), bool)
    np.not_equal(keys[1:], keys[:-1], out=first[1:])
    return keys[first]
