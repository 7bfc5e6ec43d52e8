"""Semantic IDs: the layouts that turn every item's codes into one token tuple of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mgrec.configs import IdsConfig
from mgrec.data.features import Codes
from mgrec.errors import DataError, RecipeError

PAD, START, SPECIALS = 0, 1, 2
BASE = 256  # of the disambiguation code's digits


@dataclass(frozen=True)
class Slot:
    """One position of a semantic ID, with a token range of its own.

    Attributes
    ----------
    kind : which of a modality's code, a transition token, or a digit of the disambiguation code
    modality : whose code it is, or which block the transition opens; empty for digits
    level : of the code, or place of the digit
    first, size : the tokens ``first .. first + size - 1`` and no others may stand here
    """

    kind: Literal["code", "transition", "digit"]
    modality: str
    level: int
    first: int
    size: int

    def text(self, token: int) -> str:
        """Write a token of this slot for a person, such as ``image2:17`` or ``[image]``."""
        code = token - self.first
        if self.kind == "transition":
            return f"[{self.modality}]"
        if self.kind == "digit":
            return f"u{code}"
        missing = code == self.size - 1
        return f"{self.modality}{self.level + 1}:{'missing' if missing else code}"


@dataclass(frozen=True)
class SemanticIds:
    """Every item's ID, one row an item, no two alike in their target slots.

    Attributes
    ----------
    slots : the layout
    tokens : int32 [items, slots], in the vocabulary
    target : the slots that are generated, in order; histories use all of them
    """

    slots: tuple[Slot, ...]
    tokens: NDArray[np.int32]
    target: tuple[int, ...]

    @property
    def n_items(self) -> int:
        return len(self.tokens)

    @property
    def vocabulary(self) -> int:
        """Number of tokens, the padding and start tokens included."""
        return SPECIALS + sum(slot.size for slot in self.slots)

    @property
    def target_slots(self) -> tuple[Slot, ...]:
        return tuple(self.slots[s] for s in self.target)

    def target_codes(self) -> NDArray[np.int32]:
        """Return int32 [items, targets]: the generated slots' tokens, counted within their slot."""
        first = np.array([slot.first for slot in self.target_slots], np.int32)
        return self.tokens[:, list(self.target)] - first

    def block(self, modality: str) -> tuple[int, ...]:
        """Return the positions of one modality's codes."""
        return tuple(
            s
            for s, slot in enumerate(self.slots)
            if (slot.kind, slot.modality) == ("code", modality)
        )

    def has_block(self, modality: str) -> NDArray[np.bool_]:
        """Return bool [items]: whose block is not the reserved "missing" one."""
        place = self.block(modality)[0]
        slot = self.slots[place]
        return np.asarray(self.tokens[:, place] != slot.first + slot.size - 1)

    def text(self, item: int) -> str:
        """Write one item's ID for a person."""
        return " ".join(
            slot.text(int(token)) for slot, token in zip(self.slots, self.tokens[item], strict=True)
        )

    def to_frame(self, item_ids: pl.Series) -> pl.DataFrame:
        """Return one row an item: its external id, its tokens, and the ID as text."""
        return pl.DataFrame(
            {
                "item_id": item_ids,
                "tokens": self.tokens.tolist(),
                "semantic_id": [self.text(item) for item in range(self.n_items)],
            }
        )


def build(codes: Mapping[str, Codes], config: IdsConfig) -> SemanticIds:
    """Lay out the IDs of a catalogue.

    Parameters
    ----------
    codes : every modality of ``config.modalities``; for early fusion the one fused block
    config : the layout; arXiv 2503.23333, section 4, names the strategies

    Raises
    ------
    RecipeError
        If a modality of the layout has no codes.
    """
    for modality in config.modalities:
        if modality not in codes:
            raise RecipeError(f"ids.modalities: no codes of '{modality}', only of {sorted(codes)}")
    plan = _plan({m: codes[m].sizes for m in config.modalities}, config)
    columns = [_column(codes, kind, modality, level) for kind, modality, level, _ in plan]
    target = [
        place
        for place, (kind, modality, _, _) in enumerate(plan)
        if config.target == "all" or (kind == "code" and modality == config.target)
    ]
    digits = disambiguate(np.stack([columns[place] for place in target], axis=1))
    for place, digit in enumerate(digits.T):
        target.append(len(plan))
        plan.append(("digit", "", place, BASE))
        columns.append(digit)

    slots, first = [], SPECIALS
    for kind, modality, level, size in plan:
        slots.append(Slot(kind, modality, level, first, size))
        first += size
    offsets = np.array([slot.first for slot in slots], np.int32)
    tokens = np.stack(columns, axis=1).astype(np.int32) + offsets
    return SemanticIds(tuple(slots), tokens, tuple(target))


_Kind = Literal["code", "transition", "digit"]


def _plan(
    sizes: Mapping[str, tuple[int, ...]], config: IdsConfig
) -> list[tuple[_Kind, str, int, int]]:
    """Return (kind, modality, level, size) of every slot but the digits."""
    if config.interleaved:
        deepest = max(len(levels) for levels in sizes.values())
        return [
            ("code", modality, level, levels[level] + 1)
            for level in range(deepest)
            for modality, levels in sizes.items()
            if level < len(levels)
        ]
    plan: list[tuple[_Kind, str, int, int]] = []
    for place, (modality, levels) in enumerate(sizes.items()):
        if place and config.transitions:
            plan.append(("transition", modality, 0, 1))
        # One code more than the codebook has: the reserved "missing" code.
        plan += [("code", modality, level, size + 1) for level, size in enumerate(levels)]
    return plan


def _column(
    codes: Mapping[str, Codes], kind: _Kind, modality: str, level: int
) -> NDArray[np.int32]:
    """Return int32 [items]: the codes in one slot, counted within it."""
    block = codes[modality]
    if kind == "transition":
        return np.zeros(len(block.codes), np.int32)
    return np.where(block.present, block.codes[:, level], block.sizes[level]).astype(np.int32)


def extend(ids: SemanticIds, codes: Mapping[str, Codes]) -> SemanticIds:
    """Append items to a catalogue; nobody's ID changes.

    Parameters
    ----------
    ids : of the items that are there
    codes : of the new ones alone, for every block of the layout

    Raises
    ------
    DataError
        If more items share their codes than the disambiguation code can tell apart.
    """
    n = len(next(iter(codes.values())).codes)
    columns = [
        np.zeros(n, np.int32)
        if slot.kind == "digit"
        else _column(codes, slot.kind, slot.modality, slot.level)
        for slot in ids.slots
    ]
    first = np.array([slot.first for slot in ids.slots], np.int32)
    tokens = np.concatenate([ids.tokens, np.stack(columns, axis=1).astype(np.int32) + first])
    digits = [place for place in ids.target if ids.slots[place].kind == "digit"]
    named = [place for place in ids.target if ids.slots[place].kind != "digit"]
    # A group is numbered in the order of the rows, so that those who were there keep theirs.
    within = _numbered(tokens[:, named])
    if within.max() >= BASE ** len(digits):
        raise DataError(
            f"semantic IDs: found {int(within.max()) + 1:,} items that share their codes, expected"
            f" at most {BASE ** len(digits):,}: train anew, with more levels or other content"
        )
    tokens[:, digits] = _in_digits(within, len(digits)) + first[digits]
    return SemanticIds(ids.slots, tokens, ids.target)


def disambiguate(tuples: NDArray[np.integer]) -> NDArray[np.int32]:
    """Number the items that share a tuple, in base-256 digits, most significant first.

    Parameters
    ----------
    tuples : [items, places]

    Returns
    -------
    int32 [items, digits]
        As many digits as twice the largest group needs: the other half is for items added later.
    """
    within = _numbered(tuples)
    digits = 1
    while BASE**digits < 2 * (within.max(initial=0) + 1):
        digits += 1
    return _in_digits(within, digits)


def _numbered(tuples: NDArray[np.integer]) -> NDArray[np.int64]:
    """Number the rows that are alike from 0, in their order; [items, places] -> [items]."""
    _, group = np.unique(tuples, axis=0, return_inverse=True)
    group = group.reshape(-1)
    order = np.argsort(group, kind="stable")
    sizes = np.bincount(group)
    within = np.empty(len(group), np.int64)
    within[order] = np.arange(len(group)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return within


def _in_digits(numbers: NDArray[np.int64], digits: int) -> NDArray[np.int32]:
    """Write numbers in base 256, most significant digit first; [items] -> [items, digits]."""
    powers = BASE ** np.arange(digits - 1, -1, -1)
    return ((numbers[:, None] // powers) % BASE).astype(np.int32)
