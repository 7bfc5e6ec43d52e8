"""Inheritance: the places that items without a past get in a table of transitions."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag, pad

from mgrec.model.neighbours import Table

CELLS = 1 << 23  # of a table that are spelled out at once

Rows = tuple[Tensor, Tensor]  # items, int64 [rows, n], and their strengths, float32 [rows, n]


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
    known, base = _of_training(table, trained, most)
    stand_ins = base.place[like.clamp(min=0)].long().masked_fill(like < 0, len(known))
    own = (base.item[:-1].long(), base.strength[:-1])
    item, strength = _stacked(own, _mean(base, stand_ins, trained, most))
    place, more = _followed((item, strength), known, stand_ins, trained, most)
    others = torch.arange(trained, trained + len(like))
    return Table.of_rows(
        trained + len(like),
        torch.cat([known, others]),
        torch.cat([item, others[place]], 1),
        torch.cat([strength, more], 1),
    )


def _of_training(table: Table, trained: int, most: int) -> tuple[Tensor, Table]:
    """Return the trained items that lead anywhere, int64 [known], and the table of them, in their
    order, without items that came in later."""
    place = table.place[:trained].long()
    known = place.argsort()[: int((place < len(table.item) - 1).sum())]
    item, strength = table.item[place[known]].long(), table.strength[place[known]]
    later = item >= trained
    rows = _strongest(item.masked_fill(later, 0), strength.masked_fill(later, 0), most)
    return known, Table.of_rows(trained, known, *rows)


def _mean(base: Table, stand_ins: Tensor, trained: int, most: int) -> Rows:
    """Return what items lead to, as the rows do on average that stand for them.

    Parameters
    ----------
    stand_ins : int64 [others, n], rows of the table; its last, empty one for none
    """
    parts = []
    for rows in stand_ins.split(max(1, CELLS // max(trained, 1))):
        real = (rows < len(base.item) - 1).sum(1)
        share = base.strength[rows] / real.clamp(min=1)[:, None, None]
        spelled = torch.zeros(len(rows), trained)
        spelled.scatter_add_(1, base.item[rows].long().flatten(1), share.flatten(1))
        parts.append(_strongest(torch.arange(trained).expand(len(rows), -1), spelled, most))
    return torch.cat([item for item, _ in parts]), torch.cat([strength for _, strength in parts])


def _followed(rows: Rows, known: Tensor, stand_ins: Tensor, trained: int, most: int) -> Rows:
    """Return which of the others, counted from 0, follow each row, as those do on average that
    stand for them.

    Parameters
    ----------
    known : int64 [known], which trained item each row that may stand for others is of
    stand_ins : int64 [others, n], places in `known`; one behind the last for none
    """
    used = stand_ins[stand_ins < len(known)].unique()  # few of all
    none = len(used)
    bags = torch.full((len(known) + 1,), none).scatter(0, used, torch.arange(none))[stand_ins]
    column = torch.full((trained,), none).scatter(0, known[used], torch.arange(none))
    everybody = torch.arange(len(stand_ins))
    parts = []
    at_once = max(1, CELLS // (none + len(stand_ins) + 1))
    for item, strength in zip(*(part.split(at_once) for part in rows), strict=True):
        spelled = torch.zeros(len(item), none + 1).scatter_add_(1, column[item], strength)
        mean = embedding_bag(bags, spelled.T.contiguous(), mode="mean", padding_idx=none).T
        parts.append(_strongest(everybody.expand(len(item), -1), mean, most))
    return torch.cat([place for place, _ in parts]), torch.cat([strength for _, strength in parts])


def _stacked(above: Rows, below: Rows) -> Rows:
    """Put rows under each other, the narrower ones filled up with a strength of 0."""
    width = max(above[0].shape[1], below[0].shape[1])
    item, strength = (
        torch.cat([pad(part, (0, width - part.shape[1])) for part in parts])
        for parts in zip(above, below, strict=True)
    )
    return item, strength


def _strongest(item: Tensor, strength: Tensor, most: int) -> Rows:
    """Keep the strongest of each row, [rows, at most `most`]."""
    strength, kept = strength.topk(min(most, strength.shape[1]), dim=1)
    return item.gather(1, kept), strength
