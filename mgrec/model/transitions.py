"""What follows what: a table of transitions, solved for in one step instead of trained."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import embedding_bag, pad

from mgrec.data.sequences import Sequences
from mgrec.model.neighbours import FADE, Table

BEFORE, AFTER = 8, 4  # places before a cut of a history, and after it, that an equation counts
AHEAD = 1.0  # places after a cut in which an item's weight falls to 1/e
CELLS = 1 << 23  # of a table that are spelled out at once


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


def inherited(table: Table, trained: int, like: Tensor, *, most: int) -> Table:
    """Return a table over a catalogue that has grown.

    An item without a past leads to others, and is led to, as those that it is like do on average;
    those of them that the table does not know are left out. Nobody else's strengths change, and it
    does not matter who came in together with whom.

    Parameters
    ----------
    table : over the trained items and any of the others
    trained : how many items there were in training; they stand before the others
    like : int64 [others, n], which of the trained items each of the others is like; -1 for none
    most : followers kept of each item among the trained ones, and as many among the others
    """
    place = table.place[:trained].long()
    known = place.argsort()[: int((place < len(table.item) - 1).sum())]
    item, strength = table.item[place[known]].long(), table.strength[place[known]]
    came = item >= trained  # before, and are looked at anew with all others
    item, strength = item.masked_fill(came, 0), strength.masked_fill(came, 0)
    base = Table.of_rows(trained, known, *_strongest(item, strength, most))
    row = base.place[like.clamp(min=0)].long().masked_fill(like < 0, len(known))

    rows = [(base.item[:-1].long(), base.strength[:-1])]
    for some in row.split(max(1, CELLS // trained)):
        share = base.strength[some] / (some < len(known)).sum(1).clamp(min=1)[:, None, None]
        leads_to = torch.zeros(len(some), trained)
        leads_to.scatter_add_(1, base.item[some].long().flatten(1), share.flatten(1))
        rows.append(_strongest(torch.arange(trained).expand(len(some), -1), leads_to, most))
    width = max(item.shape[1] for item, _ in rows)
    item, strength = (
        torch.cat([pad(part, (0, width - part.shape[1])) for part in parts])
        for parts in zip(*rows, strict=True)
    )

    others = torch.arange(trained, trained + len(like))
    used = row[row < len(known)].unique()  # rows that stand in for any: few of all
    none = len(used)
    bags = torch.full((len(known) + 1,), none).scatter(0, used, torch.arange(none))[row]
    column = torch.full((trained,), none).scatter(0, known[used], torch.arange(none))
    more = []
    at_once = max(1, CELLS // (none + len(others) + 1))
    for i, s in zip(item.split(at_once), strength.split(at_once), strict=True):
        spelled = torch.zeros(len(i), none + 1).scatter_add_(1, column[i], s)
        led_to = embedding_bag(bags, spelled.T.contiguous(), mode="mean", padding_idx=none).T
        more.append(_strongest(others.expand(len(i), -1), led_to, most))
    item = torch.cat([item, torch.cat([i for i, _ in more])], 1)
    strength = torch.cat([strength, torch.cat([s for _, s in more])], 1)
    return Table.of_rows(trained + len(like), torch.cat([known, others]), item, strength)


def _strongest(item: Tensor, strength: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """Keep the strongest of each row, [rows, at most `most`]."""
    strength, kept = strength.topk(min(most, strength.shape[1]), dim=1)
    return item.gather(1, kept), strength


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
