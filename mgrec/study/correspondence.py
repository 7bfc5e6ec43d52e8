"""Correspondence of blocks: whether the model knows which text belongs to which picture.

Section 4.2 of arXiv 2503.23333 finds that naive late fusion generates a right text block beside a
wrong image block. A catalogue constraint hides that, so it is switched off here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray

from mgrec.configs import SearchConfig
from mgrec.data.splits import Cases
from mgrec.ids.semantic_ids import SemanticIds
from mgrec.measure.intervals import Interval, bootstrap
from mgrec.model.generator import Generator
from mgrec.search.beam import beam_search
from mgrec.search.ranking import batches, plan, read
from mgrec.search.unconstrained import free_search

K = 10

LEGAL = "an item's"
MISMATCHED = "blocks of different items"
UNKNOWN = "a block of no item"
DIGITS = "an item's, but for the last code"
ALL, APART, NONE = "all blocks, in one ID", "every block, but in no one ID", "no block"


@dataclass(frozen=True)
class Correspondence:
    """What a model generates when any code may follow any other.

    Attributes
    ----------
    cases : test cases
    generated : what share of the ten likeliest IDs is an item's, and what the others are
    first : the same of the likeliest one
    whole : cases whose target has every generated modality; `right` is of these
    right : which blocks of the target are among the ten; empty for models of one block
    constrained, free : share of cases hit among ten with the constraint, and without
    repaired : hit with, and missed without
    lost : missed with, and hit without
    """

    cases: int
    generated: Mapping[str, Interval]
    first: Mapping[str, Interval]
    whole: int
    right: Mapping[str, Interval]
    constrained: Interval
    free: Interval
    repaired: Interval
    lost: Interval


def correspondence(model: Generator, cases: Cases, config: SearchConfig) -> Correspondence:
    """Search with and without the catalogue, and compare.

    Raises
    ------
    RequestError
        If the model's softmax is over legal codes.
    """
    codes, items = both_searches(model, cases, config)
    kinds = classified(model.ids, codes)
    target = model.ids.target_codes()[cases.targets]  # int32 [cases, slots]
    within = (items == cases.targets[:, None]).any(1)
    without = (codes == target[:, None, :]).all(2).any(1)
    blocks = generated_blocks(model.ids)
    whole = np.logical_and.reduce([model.ids.has_block(m)[cases.targets] for m in blocks])
    right = outcomes(codes[whole], target[whole], blocks) if len(blocks) > 1 else {}
    hits = _means(
        {
            "constrained": within,
            "free": without,
            "repaired": within & ~without,
            "lost": without & ~within,
        }
    )
    return Correspondence(
        cases=len(cases),
        generated=_means({kind: mask.mean(1) for kind, mask in kinds.items()}),
        first=_means({kind: mask[:, 0] for kind, mask in kinds.items()}),
        whole=int(whole.sum()),
        right=_means(right),
        **hits,
    )


@torch.inference_mode()
def both_searches(
    model: Generator, cases: Cases, config: SearchConfig
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the ten likeliest code tuples, any, and the ten likeliest items, of every case.

    Returns
    -------
    codes : int64 [cases, 10, slots], counted within their slots
    items : int64 [cases, 10], -1 behind the last
    """
    beams = max(config.beams, K)
    codes = np.full((len(cases), K, len(model.ids.target)), -1, np.int64)
    items = np.full((len(cases), K), -1, np.int64)
    model.eval()
    for rows in batches(cases.history, plan(model, beams, config)):
        context = model.context(read(model, cases.history, rows))
        free = free_search(model, context, beams)[0][:, :K].cpu().numpy()
        legal = beam_search(model, context, beams)[0][:, :K].cpu().numpy()
        codes[rows, : free.shape[1]] = free
        items[rows, : legal.shape[1]] = legal
    return codes, items


def generated_blocks(ids: SemanticIds) -> dict[str, list[int]]:
    """Return, for every modality that is generated, the places of its codes among the targets."""
    blocks: dict[str, list[int]] = {}
    for place, slot in enumerate(ids.target_slots):
        if slot.kind == "code":
            blocks.setdefault(slot.modality, []).append(place)
    return blocks


def classified(ids: SemanticIds, codes: NDArray[np.int64]) -> dict[str, NDArray[np.bool_]]:
    """Return which of [cases, k, slots] code tuples are an item's, and what the others are.

    Returns
    -------
    dict of str to bool [cases, k]
        The kinds exclude each other; a kind that cannot be, for models of one block, is left out.
    """
    known, blocks = ids.target_codes(), generated_blocks(ids)
    places = [place for block in blocks.values() for place in block]
    legal = among(codes, known)
    named = among(codes[..., places], known[:, places])
    familiar = np.logical_and.reduce(
        [among(codes[..., block], known[:, block]) for block in blocks.values()]
    )
    kinds = {LEGAL: legal, DIGITS: named & ~legal}
    if len(blocks) > 1:
        kinds[MISMATCHED] = familiar & ~named
    return kinds | {UNKNOWN: ~familiar}


def among(rows: NDArray[np.integer], known: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Return bool [...]: whether each of [..., places] rows is one of the known [n, places]."""
    flat = rows.reshape(-1, rows.shape[-1])
    _, group = np.unique(np.concatenate([known, flat]), axis=0, return_inverse=True)
    group = group.reshape(-1)
    found = np.isin(group[len(known) :], group[: len(known)])
    return np.asarray(found.reshape(rows.shape[:-1]))


def outcomes(
    codes: NDArray[np.int64],  # [cases, k, slots]
    target: NDArray[np.integer],  # [cases, slots]
    blocks: Mapping[str, list[int]],
) -> dict[str, NDArray[np.bool_]]:
    """Return which of the target's blocks each case's tuples have; bool [cases], one is true."""
    right = {
        modality: (codes[..., places] == target[:, None, places]).all(2)  # [cases, k]
        for modality, places in blocks.items()
    }
    ever = {modality: mask.any(1) for modality, mask in right.items()}
    together = np.logical_and.reduce(list(right.values())).any(1)
    found = {ALL: together, APART: np.logical_and.reduce(list(ever.values())) & ~together}
    for size in range(len(blocks) - 1, 0, -1):
        for some in combinations(blocks, size):
            only = [ever[m] if m in some else ~ever[m] for m in blocks]
            found[f"only {' and '.join(some)}"] = np.logical_and.reduce(only)
    return found | {NONE: ~np.logical_or.reduce(list(ever.values()))}


def _means(columns: Mapping[str, NDArray[np.generic]]) -> dict[str, Interval]:
    """Return every column's mean over cases, with its interval."""
    if not columns:
        return {}
    values = np.stack([np.asarray(c, np.float64) for c in columns.values()], axis=1)
    return dict(zip(columns, bootstrap(values), strict=True))
