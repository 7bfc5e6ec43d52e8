"""What follows what: a table of transitions, solved for in one step instead of trained."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mgrec.data.sequences import Sequences
from mgrec.model.neighbours import FADE, Table

BEFORE, AFTER = 8, 4  # places before a cut of a history, and after it, that an equation counts
AHEAD = 1.0  # places after a cut in which an item's weight falls to 1/e


def transitions(log: Sequences, n_items: int, *, items: int, most: int, ridge: float) -> Table:
    """Return which items follow each of the most-taken ones.

    It is the ridge regression of what came after every cut of every history on what came before it,
    both fading with the distance from the cut: the transition part of SLIST (arXiv 2103.16104).
    It takes four dense float32 matrices of the solved items, and time with their number's cube.

    Parameters
    ----------
    log : one row a user
    items : most items that are solved for
    most : followers kept of each
    ridge : added to how often an item is counted against itself
    """
    counts = np.bincount(log.items, minlength=n_items)
    m = min(items, int((counts > 0).sum()))
    if not m:
        return Table.empty(n_items)
    known = np.argsort(-counts, kind="stable")[:m]
    row = np.full(n_items, m)
    row[known] = np.arange(m)
    strongest = _solved(log, row, m, ridge).topk(min(most, m), dim=1)
    follower = torch.from_numpy(known)[strongest.indices]
    return Table.of_rows(n_items, torch.from_numpy(known), follower, strongest.values)


def _solved(log: Sequences, row: NDArray[np.int64], m: int, ridge: float) -> Tensor:
    """Return float32 [m, m]: how strongly the item of each row is followed by that of each column.

    Parameters
    ----------
    row : int64 [items], m of items that are not solved for
    """
    past, after = torch.zeros(m, m), torch.zeros(m, m)
    items = torch.from_numpy(row[log.items])
    behind = torch.from_numpy(np.arange(len(items)) - np.repeat(log.offsets[:-1], log.lengths))
    ahead = torch.from_numpy(np.repeat(log.lengths, log.lengths)) - behind  # the item itself too
    cut = torch.arange(len(items))  # before each item

    def count(into: Tensor, one: Tensor, other: Tensor, weight: float) -> None:
        row, column = items[one], items[other]
        flat = (row * m + column)[(row < m) & (column < m)]
        into.view(-1).index_add_(0, flat, torch.full((len(flat),), weight))

    for a in range(BEFORE):
        for b in range(BEFORE):
            at = cut[behind > max(a, b)]
            count(past, at - 1 - a, at - 1 - b, float(np.exp(-(a + b) / FADE)))
        for b in range(AFTER):
            at = cut[(behind > a) & (ahead > b)]
            count(after, at - 1 - a, at + b, float(np.exp(-a / FADE - b / AHEAD)))
    past.diagonal().add_(ridge)
    factor = torch.linalg.cholesky(past)
    del past  # each of these is large
    return torch.cholesky_solve(after, factor)
