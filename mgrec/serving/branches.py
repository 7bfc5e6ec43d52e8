"""Branches of the codebook tree: which codes come next under a prefix, and the items there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mgrec.ids.semantic_ids import Slot
from mgrec.recommender import Recommender
from mgrec.serving.cards import code_text

SHOWN = 4  # items that stand for a branch


@dataclass(frozen=True)
class Branch:
    """One code that may come next.

    Attributes
    ----------
    code : counted within its slot
    text : the same for a person
    items : under it
    rows : a few of them, those that training saw most
    """

    code: int
    text: str
    items: int
    rows: tuple[int, ...]


@dataclass(frozen=True)
class Place:
    """A prefix of semantic IDs.

    Attributes
    ----------
    prefix : the codes so far
    slot : what the next code is of, in words; empty at the end
    rows : all items under the prefix, those that training saw most first
    branches : by size, largest first
    """

    prefix: tuple[int, ...]
    slot: str
    rows: tuple[int, ...]
    branches: tuple[Branch, ...]


def place(recommender: Recommender, prefix: tuple[int, ...]) -> Place:
    """Return what lies under a prefix; nothing where no item's ID begins so."""
    ids = recommender.catalogue.ids
    slots = ids.target_slots
    while len(prefix) < len(slots) and slots[len(prefix)].kind == "transition":
        prefix = (*prefix, 0)  # nothing is chosen there
    rows = recommender.model.trie.under(prefix).numpy()
    rows = rows[recommender.catalogue.listed[rows]]
    rows = rows[np.argsort(-recommender.counts[rows], kind="stable")]
    if len(prefix) >= len(slots) or not len(rows):
        return Place(prefix, "", tuple(rows.tolist()), ())
    slot = slots[len(prefix)]
    codes = ids.tokens[rows, ids.target[len(prefix)]] - slot.first
    values, first, sizes = np.unique(codes, return_index=True, return_counts=True)
    order = np.lexsort((first, -sizes))
    branches = tuple(
        Branch(
            int(values[i]),
            code_text(slot, int(values[i])),
            int(sizes[i]),
            tuple(rows[codes == values[i]][:SHOWN].tolist()),
        )
        for i in order
    )
    return Place(prefix, slot_words(slot), tuple(rows.tolist()), branches)


def slot_words(slot: Slot) -> str:
    """Say what a slot is."""
    return f"{slot.modality}, level {slot.level + 1}" if slot.kind == "code" else "own number"


def prefix_of(text: str, most: int) -> tuple[int, ...]:
    """Read a prefix out of an address, such as ``12.7``; what is no code ends it."""
    codes: list[int] = []
    for part in text.split(".")[:most]:
        if not (part.isascii() and part.isdecimal() and len(part) < 10):
            break
        codes.append(int(part))
    return tuple(codes)
