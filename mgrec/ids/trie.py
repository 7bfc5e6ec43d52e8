"""The trie of a catalogue's IDs: which codes may follow a prefix, and which items lie under it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mgrec.ids.children import Children
from mgrec.ids.semantic_ids import SemanticIds


@dataclass(frozen=True, eq=False)
class Level:
    """The nodes of one depth, in the order of their prefixes.

    What says nothing is not stored, since at ten million items an array is 40 MB. The tensors
    `start` and `first` are then written out on demand; inner loops ask `children` and `span`.

    Attributes
    ----------
    code : uint8, int16 or int32 [nodes]
        The node's last code, counted within its slot.
    starts : int32 [parents + 1] or None
        Parent p's children are the nodes ``starts[p] .. starts[p + 1]``; None: each has one.
    firsts : int32 [nodes + 1] or None
        Node n's leaves are ``firsts[n] .. firsts[n + 1]``; None: each node is one leaf.
    """

    code: Tensor
    starts: Tensor | None
    firsts: Tensor | None

    @property
    def start(self) -> Tensor:
        """int32 [parents + 1], `starts` in full."""
        return self._identity() if self.starts is None else self.starts

    @property
    def first(self) -> Tensor:
        """int32 [nodes + 1], `firsts` in full."""
        return self._identity() if self.firsts is None else self.firsts

    @property
    def leaves(self) -> Tensor:
        """int32 [nodes], the number of items under each node."""
        return self.first.diff()

    @cached_property
    def widest(self) -> int:
        """The most children that a parent has."""
        return 1 if self.starts is None else int(self.starts.diff().max())

    def children(self, parents: Tensor) -> tuple[Tensor, Tensor]:
        """Return int64 [...] twice: parents' children are the nodes from the one to the other."""
        return _range(self.starts, parents)

    def span(self, nodes: Tensor) -> tuple[Tensor, Tensor]:
        """Return int64 [...] twice: nodes' leaves are those from the one to before the other."""
        return _range(self.firsts, nodes)

    def node_of(self, leaves: Tensor) -> Tensor:
        """Return int64 [...]: the node that each leaf, int [...], lies under."""
        if self.firsts is None:
            return leaves.long()
        # Of one type: else all of `firsts` would be copied to the wider one.
        sought = leaves.to(self.firsts.dtype).contiguous()
        return torch.searchsorted(self.firsts, sought, right=True) - 1

    def leaf(self, nodes: NDArray[np.int64]) -> NDArray[np.integer]:
        """Return int [...]: the first leaf of each node; of the one behind the last, the end."""
        return nodes if self.firsts is None else self.firsts.numpy()[nodes]

    def _identity(self) -> Tensor:
        return torch.arange(len(self.code) + 1, dtype=torch.int32, device=self.code.device)


@dataclass(frozen=True, eq=False)
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
    _on_cpu: Trie | None = None  # the one that this is a copy of, elsewhere

    @classmethod
    def of(cls, ids: SemanticIds) -> Trie:
        """Index a catalogue's IDs."""
        return cls.build(ids.target_codes(), tuple(slot.size for slot in ids.target_slots))

    @classmethod
    def build(cls, codes: NDArray[np.integer], sizes: tuple[int, ...]) -> Trie:
        """Index code tuples, all different.

        Parameters
        ----------
        codes : [items, levels], ``0 <= codes[:, l] < sizes[l]``, at least one item
        """
        n = len(codes)
        order = _sorted(codes, sizes)
        leaf_of_item = np.empty(n, np.int32)
        leaf_of_item[order] = np.arange(n, dtype=np.int32)
        state = {"item_of_leaf": order.astype(np.int32), "leaf_of_item": leaf_of_item}
        # Narrow first: the gather below is bound by memory.
        ordered = np.take(codes.astype(_narrowest(max(sizes))), order, axis=0)
        opens = np.zeros(n, bool)  # whether a leaf is the first one under its prefix
        opens[0] = True
        for level, size in enumerate(sizes):
            above = opens.copy()
            opens[1:] |= ordered[1:, level] != ordered[:-1, level]
            first = np.flatnonzero(opens)
            state[f"code{level}"] = ordered[first, level].astype(_narrowest(size))
            start = np.flatnonzero(above[first])
            if len(start) < len(first) < n:  # else `from_state` knows them
                state[f"start{level}"] = np.append(start, len(first)).astype(np.int32)
                state[f"first{level}"] = np.append(first, n).astype(np.int32)
        if len(first) < n:
            raise ValueError(f"IDs: expected all different, found {n - len(first)} repeated")
        return cls.from_state({name: torch.from_numpy(array) for name, array in state.items()})

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> Trie:
        """Put together what `state` took apart; the tensors are used as they are, not copied."""
        n = len(state["item_of_leaf"])
        root = torch.tensor([0, n], dtype=torch.int32)
        above: Tensor | None = root.to(state["item_of_leaf"].device)  # its leaves
        levels: list[Level] = []
        while (code := state.get(f"code{len(levels)}")) is not None:
            if (first := state.get(f"first{len(levels)}")) is not None:
                level = Level(code, state[f"start{len(levels)}"], first)
            elif len(code) == n:  # every node is a leaf: a parent's children are its leaves
                level = Level(code, above, None)
            else:  # a transition token, every parent's only child: its leaves are the parent's
                level = Level(code, None, above)
            levels.append(level)
            above = level.firsts
        return cls(tuple(levels), state["item_of_leaf"], state["leaf_of_item"])

    def state(self) -> dict[str, Tensor]:
        """Return every array that the trie is made of, each once."""
        state = {"item_of_leaf": self.item_of_leaf, "leaf_of_item": self.leaf_of_item}
        for place, level in enumerate(self.levels):
            state[f"code{place}"] = level.code
            if level.starts is not None and level.firsts is not None:
                state |= {f"start{place}": level.starts, f"first{place}": level.firsts}
        return state

    @property
    def on_cpu(self) -> Trie:
        """The trie itself, or what it was copied from."""
        return self._on_cpu or self

    def to(self, device: torch.device) -> Trie:
        """Return the trie on a device; on the CPU, the very one that was there before."""
        if device == self.item_of_leaf.device:
            return self
        if device.type == "cpu":
            return self.on_cpu
        there = self.from_state({name: part.to(device) for name, part in self.state().items()})
        return replace(there, _on_cpu=self.on_cpu)

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(array.nbytes for array in self.state().values())

    @property
    def n_items(self) -> int:
        return len(self.item_of_leaf)

    @property
    def depth(self) -> int:
        return len(self.levels)

    def children(self, level: int, parents: Tensor) -> Children:
        """Return the children of parents, a row each.

        Parameters
        ----------
        level : of the children
        parents : int64 [rows], nodes of the level before; level 0 has the one parent 0
        """
        begin, end = self.levels[level].children(parents)
        return Children(begin, end - begin)

    def nodes_of(self, items: Tensor, level: int) -> Tensor:
        """Return int64 [...]: the node of each item's prefix that ends at a level; -1: root."""
        if level < 0:
            return torch.zeros_like(items, dtype=torch.int64)
        return self.levels[level].node_of(self.leaf_of_item[items])

    @cached_property
    def shared(self) -> Tensor:
        """uint8 [items + 1]: how many codes a leaf shares with the leaf before; 0 at both ends."""
        device = self.item_of_leaf.device
        shared = torch.full((self.n_items + 1,), self.depth - 1, dtype=torch.uint8, device=device)
        for place in range(self.depth - 2, -1, -1):
            firsts = self.levels[place].firsts
            if firsts is None:
                shared.fill_(place)
            else:
                shared[firsts] = place
        shared[[0, -1]] = 0
        return shared

    @cached_property
    def decided(self) -> Tensor:
        """uint8 [items]: how many codes it takes until one item is left, at least 1."""
        of_leaf = torch.maximum(self.shared[:-1], self.shared[1:]) + 1
        return of_leaf.index_select(0, self.leaf_of_item)

    def under(self, prefix: tuple[int, ...]) -> Tensor:
        """Return int64 [n]: the items whose codes begin with a prefix; none if it is illegal."""
        if len(prefix) > self.depth:
            return torch.empty(0, dtype=torch.int64)
        low, high = 0, self.n_items  # leaves
        node = torch.tensor(0)
        for level, code in zip(self.levels, prefix, strict=False):
            begin, end = (int(bound) for bound in level.children(node))
            # As wide numbers: compared as narrow ones, a code too large would wrap round.
            found = (level.code[begin:end].long() == code).nonzero()
            if not len(found):
                return torch.empty(0, dtype=torch.int64)
            node = begin + found[0, 0]
            low, high = (int(bound) for bound in level.span(node))
        return self.item_of_leaf[low:high].long()


def _range(offsets: Tensor | None, at: Tensor) -> tuple[Tensor, Tensor]:
    """Return int64 [...] twice: ``offsets[at]`` and ``offsets[at + 1]``; None counts up by one."""
    if offsets is None:
        return at, at + 1
    return offsets[at].long(), offsets[at + 1].long()


def _narrowest(size: int) -> type[np.integer]:
    """Return the smallest type for codes below `size` that torch can index and compare with."""
    return np.uint8 if size <= 1 << 8 else np.int16 if size <= 1 << 15 else np.int32


def _sorted(codes: NDArray[np.integer], sizes: tuple[int, ...]) -> NDArray[np.int64]:
    """Return the order of the rows.

    NumPy sorts 64-bit values several times faster than it finds their order. So codes are packed
    into keys that leave room for the row's place, and the sorted values tell the places. IDs longer
    than one key are sorted by the last part first: the place keeps equal parts in their order.
    """
    n = len(codes)
    room = (n - 1).bit_length()  # of a place
    places = np.arange(n)
    order: NDArray[np.int64] | None = None
    for part in _parts([(size - 1).bit_length() for size in sizes], 63 - room):
        key = np.zeros(n, np.int64)
        for level, bits in part:
            key <<= bits
            key |= codes[:, level]
        key = key if order is None else np.take(key, order)
        key <<= room
        key |= places
        key.sort()
        key &= (1 << room) - 1
        order = key if order is None else np.take(order, key)
    assert order is not None
    return order


def _parts(bits: list[int], most: int) -> Iterator[list[tuple[int, int]]]:
    """Give (level, its bits) in parts of at most so many bits together, from the last level on."""
    part: list[tuple[int, int]] = []
    for level in range(len(bits) - 1, -1, -1):
        if part and bits[level] + sum(b for _, b in part) > most:
            yield part
            part = []
        part.insert(0, (level, bits[level]))
    yield part
