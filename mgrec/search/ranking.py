"""Ranking many histories: batches of like length, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from mgrec.data.sequences import Sequences
from mgrec.ids.filters import Filter
from mgrec.model.generator import Generator
from mgrec.search.rank import rank

# Cells [users, beams, codes of the widest level] that one batch may hold; a cell costs about
# 30 bytes at its peak, so that a batch stays within a few hundred MiB.
CELLS = 4_000_000

Allow = Callable[[NDArray[np.int64]], Filter | None]  # rows of the histories -> their filter


def everything(rows: NDArray[np.int64]) -> Filter | None:
    """Allow all items."""
    return None


def batch_size(model: Generator, beams: int) -> int:
    """Return how many users fit into one batch."""
    widest = max(level.widest for level in model.trie.levels)
    dense = 0 if model.experts is None else model.trie.n_items * len(model.experts.names)
    return int(min(512, max(1, CELLS // max(beams * widest, dense))))


def top(
    model: Generator, histories: Sequences, k: int, beams: int, allow: Allow = everything
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the k best items of every history.

    Parameters
    ----------
    histories : one row a user, oldest first, none empty

    Returns
    -------
    items : int64 [rows, k], best first, -1 behind the last
    scores : float32 [rows, k], -inf behind the last
    """
    items = np.full((len(histories), k), -1, np.int64)
    scores = np.full((len(histories), k), -np.inf, np.float32)
    recent = histories.last(model.config.history)
    order = np.argsort(recent.lengths, kind="stable")
    size = batch_size(model, beams)
    device = model.token_table.device
    model.eval()
    for at in range(0, len(order), size):
        rows = order[at : at + size]
        padded = torch.from_numpy(recent.select(rows).padded()).to(device)
        with torch.inference_mode():
            found = rank(model, model.context(padded), k, beams, allow(rows))
        items[rows], scores[rows] = (part.cpu().numpy() for part in found)
    return items, scores
