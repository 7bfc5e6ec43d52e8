"""The trie of a catalogue's IDs: which codes may follow a prefix, and which items lie under it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mgrec.ids.semantic_ids import SemanticIds


@dataclass(frozen=True)
class Level:
    """The nodes of one depth, in the order of their prefixes.

    Attributes
    ----------
    code : int32 [nodes], the node's last code, counted within its slot
    start : int32 [parents + 1], parent p's children are the nodes ``start[p] .. start[p + 1]``
    first : int32 [nodes + 1], node n's leaves are ``first[n] .. first[n + 1]``
    """

    code: Tensor
    start: Tensor
    first: Tensor

    @cached_property
    def widest(self) -> int:
        """The most children that a parent has."""
        return int(self.start.diff().max())

    @cached_property
    def leaves(self) -> Tensor:
        """int32 [nodes], the number of items under each node."""
        return self.first.diff()


@dataclass(frozen=True)
class Trie:
    """All legal prefixes; leaves are the items in the order of their IDs.

    Attributes
    ----------
    levels : one a generated slot
    item_of_leaf : int32 [items]
    leaf_of_item : int32 [items]
    """

    levels: tuple[Level, ...]
    item_of_leaf: Tensor
    leaf_of_item: Tensor

    @classmethod
    def of(cls, ids: SemanticIds) -> Trie:
        """Index a catalogue's IDs."""
        return cls.build(ids.target_codes(), tuple(slot.size for slot in ids.target_slots))

    @classmethod
    def build(cls, codes: NDArray[np.integer], sizes: tuple[int, ...]) -> Trie:
        """Index code tuples, all different.

        Parameters
        ----------
        codes : [items, levels], ``0 <= codes[:, l] < sizes[l]``
        """
        n = len(codes)
        order = _sorted(codes, sizes)
        ordered = codes[order]
        opens = np.zeros(n, bool)  # whether a leaf is the first one under its prefix
        opens[:1] = True
        bounds = np.array([0, n])
        levels = []
        for level in range(codes.shape[1]):
            opens[1:] |= ordered[1:, level] != ordered[:-1, level]
            first = np.flatnonzero(opens)
            start = np.searchsorted(first, bounds)
            bounds = np.append(first, n)
            levels.append(Level(_int32(ordered[first, level]), _int32(start), _int32(bounds)))
        if len(bounds) != n + 1:
            raise ValueError(f"IDs: expected all different, found {n + 1 - len(bounds)} repeated")
        inverse = np.empty(n, np.int32)
        inverse[order] = np.arange(n, dtype=np.int32)
        return cls(tuple(levels), _int32(order), _int32(inverse))

    @property
    def n_items(self) -> int:
        return len(self.item_of_leaf)

    @property
    def depth(self) -> int:
        return len(self.levels)

    def children(self, level: int, parents: Tensor) -> tuple[Tensor, Tensor]:
        """Return the children, padded to the widest parent among those asked for.

        Parameters
        ----------
        level : of the children
        parents : int64 [...], nodes of the level before; level 0 has the one parent 0

        Returns
        -------
        nodes : int64 [..., m]
        real : bool [..., m]
        """
        start = self.levels[level].start
        begin, end = start[parents].long(), start[parents + 1].long()
        count = end - begin
        place = torch.arange(int(count.max()) if count.numel() else 0, device=parents.device)
        real = place < count[..., None]
        nodes = (begin[..., None] + place).clamp_(max=len(self.levels[level].code) - 1)
        return nodes, real

    def nodes_of(self, items: Tensor, level: int) -> Tensor:
        """Return int64 [...]: the node of each item's prefix that ends at a level; -1: root."""
        if level < 0:
            return torch.zeros_like(items, dtype=torch.int64)
        leaf = self.leaf_of_item[items]
        found = torch.searchsorted(self.levels[level].first, leaf.contiguous(), right=True)
        return found - 1

    def leaves_of(self, level: int, nodes: Tensor) -> tuple[Tensor, Tensor]:
        """Return int64 [...] twice: each node's first leaf, and the one behind its last."""
        first = self.levels[level].first
        return first[nodes].long(), first[nodes + 1].long()

    @cached_property
    def decided(self) -> Tensor:
        """int64 [items]: how many codes it takes until one item is left, at least 1."""
        depth = torch.full((self.n_items,), self.depth, dtype=torch.int64)
        for level in range(self.depth - 2, -1, -1):
            single = self.levels[level].leaves == 1
            leaf_single = single.repeat_interleave(self.levels[level].leaves.long())
            depth[self.item_of_leaf[leaf_single].long()] = level + 1
        return depth

    def under(self, prefix: tuple[int, ...]) -> Tensor:
        """Return int64 [n]: the items whose codes begin with a prefix; none if it is illegal."""
        node = 0
        for level, code in enumerate(prefix):
            at = self.levels[level]
            low, high = int(at.start[node]), int(at.start[node + 1])
            found = low + int(torch.searchsorted(at.code[low:high].contiguous(), code))
            if found == high or int(at.code[found]) != code:
                return torch.empty(0, dtype=torch.int64)
            node = found
        if not prefix:
            return self.item_of_leaf.long()
        first = self.levels[len(prefix) - 1].first
        return self.item_of_leaf[int(first[node]) : int(first[node + 1])].long()


def _int32(values: NDArray[np.integer]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, np.int32))


def _sorted(codes: NDArray[np.integer], sizes: tuple[int, ...]) -> NDArray[np.integer]:
    """Return the order of the rows; codes are packed into as few 64-bit keys as they fit in."""
    keys: list[NDArray[np.uint64]] = []
    room = 0
    for level, size in enumerate(sizes):
        bits = max(1, (size - 1).bit_length())
        column = codes[:, level].astype(np.uint64)
        if bits > room:
            keys.append(column)
            room = 64 - bits
        else:
            keys[-1] = (keys[-1] << np.uint64(bits)) | column
            room -= bits
    if len(keys) == 1:
        return np.argsort(keys[0])
    return np.lexsort(keys[::-1])
