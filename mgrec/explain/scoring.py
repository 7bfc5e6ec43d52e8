"""Scores of one item under variants of a history: items left out, or modalities hidden."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mgrec.configs import shown_in
from mgrec.data.sequences import Sequences
from mgrec.model.decoder import Context
from mgrec.model.generator import Generator
from mgrec.search.repeats import moved_by_repeat

CELLS = 1 << 24  # experts' scores of rows and items that are computed at once


@dataclass(frozen=True, eq=False)
class Score:
    """Log-probabilities of one item, a row a variant.

    Attributes
    ----------
    generated : float64 [rows]
    experts : float64 [rows, experts]
    total : float64 [rows], as they are added up in a ranking
    """

    generated: NDArray[np.float64]
    experts: NDArray[np.float64]
    total: NDArray[np.float64]


@torch.inference_mode()
def scored(
    model: Generator,
    item: int,
    histories: Sequences,
    hidden: Collection[str] = (),
    instead: NDArray[np.int64] | None = None,
    older: NDArray[np.int64] | None = None,
) -> Score:
    """Score an item after each of several histories, none empty.

    Parameters
    ----------
    histories : item indices, oldest first, a row a variant
    hidden : modalities of the histories' items that the model does not get to see
    instead : int64 [rows, longest], items whose content stands in for what is hidden
    older : int64 [rows, n], -1 for padding: seen items before the encoder's window
    """
    most = max(1, CELLS // model.trie.n_items) if model.experts is not None else 1024
    parts = []
    for rows in np.array_split(np.arange(len(histories)), -(-len(histories) // most)):
        items = torch.from_numpy(histories.select(rows).padded())
        if instead is None:
            context = model.context(items)
        else:
            context = context_of(model, items, hidden, torch.from_numpy(instead[rows]))
        if older is not None:
            seen = torch.cat([items, torch.from_numpy(older[rows])], 1)
            context = replace(context, seen=seen)
        parts.append(_scored(model, item, context))
    generated, experts = (torch.cat(side).double().numpy() for side in zip(*parts, strict=True))
    weight = np.zeros(0) if model.experts is None else model.experts.weight.double().numpy()
    return Score(generated, experts, generated + experts @ weight)


def _scored(model: Generator, item: int, context: Context) -> tuple[Tensor, Tensor]:
    """Return float32 [rows] and [rows, experts]."""
    target = torch.full((context.rows,), item, device=context.start.device)
    generated = model.log_prob(context, target)
    if model.config.repeat:
        generated = generated + moved_by_repeat(model, context, target)
    if model.experts is None or context.views is None:
        return generated, torch.empty(context.rows, 0)
    return generated, model.experts.log_probs(context.views, context.seen)[:, :, item].T


def context_of(
    model: Generator, items: Tensor, hidden: Collection[str], instead: Tensor
) -> Context:
    """Read histories, int64 [rows, n], with other items' content in the hidden modalities."""
    ids, vectors = model.content(items)
    other_ids, other_vectors = model.content(instead.where(items >= 0, -1))
    for place, slot in enumerate(model.ids.slots):
        if slot.kind == "code" and slot.modality in hidden:
            ids[..., place] = other_ids[..., place]
    seen = {name: other_vectors[name] if name in hidden else vectors[name] for name in vectors}
    context: Context = model.history(ids, seen, (items >= 0).sum(1))
    views = None
    if model.experts is not None:
        other = instead.where(items >= 0, -1)
        views = model.experts.states(items, context.start, dict.fromkeys(hidden, other))
    return replace(context, views=views, seen=items)


def modalities_of(model: Generator) -> list[str]:
    """Return what of an item's content the model reads in a history, by name."""
    _, vectors = model.content(torch.zeros(1, 1, dtype=torch.int64))
    blocks = [slot.modality for slot in model.ids.slots if slot.kind == "code"]
    views = () if model.experts is None else model.experts.names
    shown = [modality for view in views if (modality := shown_in(view))]
    return list(dict.fromkeys([*blocks, *vectors, *shown]))


@torch.inference_mode()
def levels_of(model: Generator, item: int, history: NDArray[np.int64]) -> list[float]:
    """Return the log-probability of each of an item's codes after those before it."""
    context = model.context(torch.from_numpy(history)[None])
    target = torch.tensor([item])
    states = model.teacher(context, target, 0, model.trie.depth)
    return [
        float(model.chosen(level, states[:, level], target)) for level in range(model.trie.depth)
    ]


def bases_of(model: Generator, item: int, logs: NDArray[np.float32]) -> list[float]:
    """Return the logarithm of each code's share of the log among the codes that may stand there.

    Parameters
    ----------
    logs : float32 [items], the logarithms of the items' shares
    """
    trie = model.trie
    shares = np.exp(logs.astype(np.float64))
    above = np.log(shares.sum())
    found = []
    for level in range(trie.depth):
        low, high = trie.levels[level].span(trie.nodes_of(torch.tensor(item), level))
        below = np.log(shares[trie.item_of_leaf[int(low) : int(high)].numpy()].sum())
        found.append(float(below - above))
        above = below
    return found
