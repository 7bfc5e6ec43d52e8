"""Ranking many histories: batches of like length, in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mgrec.configs import SearchConfig
from mgrec.cores import on_cores
from mgrec.data.sequences import Sequences
from mgrec.freed import keep_freed_memory
from mgrec.ids.filters import Filter
from mgrec.model.generator import Generator
from mgrec.search.candidates import ranked

CELL = 64  # bytes a cell [beams, codes of the widest level] takes: scores, nodes, what is allowed
CACHE = 1 << 21  # bytes of a decoder's widest layer that a processor's caches hold
PADDED = 1 << 22  # items of a batch's histories, padded to the longest

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
    cores : batches in work at once
    memory : bytes that these take beside the model
    """

    users: int
    cores: int
    memory: int

    def __str__(self) -> str:
        mib = max(1, self.memory >> 20)
        return f"at most {self.users * self.cores} at a time, in at most {mib:,} MiB"


def plan(model: Generator, beams: int, config: SearchConfig) -> Plan:
    """Predict what a batch takes, and return the largest that fits; one user always may.

    Beyond what fits into a core's caches a larger batch gains nothing on a CPU: there, every core
    has a batch of its own.
    """
    each, budget = _bytes_each(model, beams), config.memory << 20
    if model.token_table.device.type != "cpu":
        users = max(1, budget // each)
        return Plan(users, 1, users * each)
    cores = min(torch.get_num_threads(), max(1, budget // each))
    # Under the legal softmax most beams end after two levels or so: more of them are few rows.
    rows = CACHE // (4 * model.config.hidden) * (4 if model.legal else 1)
    users = max(1, min(budget // (each * cores), rows // beams))
    return Plan(users, cores, users * cores * each)


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


def batches(histories: Sequences, plan: Plan) -> list[NDArray[np.int64]]:
    """Cut the rows of the histories into batches of like length.

    Returns
    -------
    list of int64 [at most plan.users]
        Every row once; as many batches for one core as for another, unless one batch holds all:
        threads that begin anew with every call would cost more than they save.
    """
    order = np.argsort(histories.lengths, kind="stable")
    count = math.ceil(len(order) / plan.users)
    if count > 1:
        count = min(len(order), math.ceil(count / plan.cores) * plan.cores)
    parts = np.array_split(order, count) if len(order) else []
    return [few for part in parts for few in _narrow(part, histories.lengths)]


def _narrow(rows: NDArray[np.int64], lengths: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Split a batch whose histories, padded to the longest, take more than `PADDED` cells."""
    pieces = -(-len(rows) * int(lengths[rows].max()) // PADDED)
    return np.array_split(rows, min(pieces, len(rows)))


def read(model: Generator, histories: Sequences, rows: NDArray[np.int64]) -> Tensor:
    """Return int64 [rows, n]: the items that the model reads, -1 for padding, where the model is.

    With a repeat score these are all items, otherwise those of the encoder's window.
    """
    some = histories.select(rows)
    if not model.config.repeat:
        some = some.last(model.config.history)
    return torch.from_numpy(some.padded()).to(model.token_table.device)


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
    coarse = config.precision == "bfloat16"
    device = model.token_table.device.type
    if model.training:  # else what experts keep of the catalogue would be forgotten every time
        model.eval()

    def rank(rows: NDArray[np.int64]) -> None:
        with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=coarse):
            context = model.context(read(model, histories, rows))
            found = ranked(model, context, k, beams, allow(rows))
        items[rows], scores[rows] = found.items.cpu().numpy(), found.scores.cpu().numpy()
        bound[rows] = found.bound.cpu().numpy()

    keep_freed_memory()
    planned = plan(model, max(beams, k), config)
    # The longest first, so that no core is left with it at the end.
    on_cores(rank, batches(histories, planned)[::-1], planned.cores)
    return items, scores, bound
