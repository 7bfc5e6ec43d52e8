"""Ranking many histories: batches of like length, in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mgrec.data.sequences import Sequences
from mgrec.ids.filters import Filter
from mgrec.model.generator import Generator
from mgrec.recipe import SearchConfig
from mgrec.search.rank import ranked

CELL = 64  # bytes a cell [beams, codes of the widest level] takes: scores, nodes, what is allowed
CACHE = 1 << 21  # bytes of a decoder's widest layer that a processor's caches hold

Allow = Callable[[NDArray[np.int64]], Filter | None]  # rows of the histories -> their filter


def everything(rows: NDArray[np.int64]) -> Filter | None:
    """Allow all items."""
    return None


@dataclass(frozen=True)
class Plan:
    """How many histories are ranked at once, and what that takes at its peak.

    Attributes
    ----------
    users : in a batch
    memory : bytes that a batch takes beside the model
    """

    users: int
    memory: int

    def __str__(self) -> str:
        return f"at most {self.users} at a time, in at most {max(1, self.memory >> 20):,} MiB"


def plan(model: Generator, beams: int, config: SearchConfig) -> Plan:
    """Predict what a batch takes, and return the largest that fits; one user always may.

    Beyond what fits into the processor's caches a larger batch gains nothing on a CPU.
    """
    each = _bytes_each(model, beams)
    most = max(1, (config.memory << 20) // each)
    if model.token_table.device.type == "cpu":
        # Under the legal softmax most beams end after two levels or so: more of them are few rows.
        rows = CACHE // (4 * model.config.hidden) * (4 if model.legal else 1)
        most = min(most, max(1, rows // beams))
    return Plan(most, most * each)


def _bytes_each(model: Generator, beams: int) -> int:
    """Return the bytes that one user takes at the peak of the search."""
    trie, config = model.trie, model.config
    cells = beams * max(level.widest for level in trie.levels)
    logits = beams * (0 if model.legal else 2 * model.ids.vocabulary)
    inner, slots = config.heads * config.head_dim, trie.depth
    rows = beams * (4 * config.hidden + 2 * inner * (config.decoder_layers * slots + slots + 8))
    tokens = config.history * (len(model.ids.slots) if config.family == "paper" else 1)
    read = tokens * (2 * inner * (config.decoder_layers + 4) + 2 * config.hidden)
    scores = config.heads * tokens * (tokens + beams)
    experts = 0 if model.experts is None else trie.n_items * (2 + 2 * len(model.experts.names))
    return CELL * cells + 4 * (logits + rows + read + scores + experts)


def batches(
    model: Generator, histories: Sequences, beams: int, config: SearchConfig
) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
    """Yield (rows of the histories, int64 [rows, n] of their recent items), of like length.

    Together they are all rows, each once; as many at a time as `plan` says.
    """
    recent = histories.last(model.config.history)
    order = np.argsort(recent.lengths, kind="stable")
    count = math.ceil(len(order) / plan(model, beams, config).users)
    for rows in np.array_split(order, count) if count else ():
        yield rows, torch.from_numpy(recent.select(rows).padded()).to(model.token_table.device)


def top(
    model: Generator,
    histories: Sequences,
    k: int,
    beams: int,
    config: SearchConfig,
    allow: Allow = everything,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return items and scores of `bounded_top`."""
    return bounded_top(model, histories, k, beams, config, allow)[:2]


def bounded_top(
    model: Generator,
    histories: Sequences,
    k: int,
    beams: int,
    config: SearchConfig,
    allow: Allow = everything,
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
    """Return the k best items of every history.

    Parameters
    ----------
    histories : one row a user, oldest first, none empty

    Returns
    -------
    items : int64 [rows, k], best first, -1 behind the last
    scores : float32 [rows, k], -inf behind the last
    bound : float32 [rows], no allowed item that was not looked at scores higher
    """
    items = np.full((len(histories), k), -1, np.int64)
    scores = np.full((len(histories), k), -np.inf, np.float32)
    bound = np.full(len(histories), -np.inf, np.float32)
    device = model.token_table.device
    coarse = config.precision == "bfloat16"
    model.eval()
    for rows, padded in batches(model, histories, max(beams, k), config):
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=coarse):
            found = ranked(model, model.context(padded), k, beams, allow(rows))
        items[rows], scores[rows] = found.items.cpu().numpy(), found.scores.cpu().numpy()
        bound[rows] = found.bound.cpu().numpy()
    return items, scores, bound
