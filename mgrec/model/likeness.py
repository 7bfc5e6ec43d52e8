"""What looks alike: a table of nearest neighbours by one modality's embeddings."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize, pad

from mgrec.data.features import Embeddings
from mgrec.model.neighbours import Table

SHARPNESS = 12.0  # strength is exp(SHARPNESS (cosine - 1))
ROWS, BLOCK = 512, 16_384  # items compared at once, with as many others


def likeness(embeddings: Embeddings, counts: NDArray[np.int64], *, items: int, most: int) -> Table:
    """Return which items look like each of the most-taken ones; none is its own neighbour.

    Parameters
    ----------
    counts : int64 [items], how often each was taken
    items : most items that lead to others
    most : neighbours kept of each
    """
    known = np.argsort(-counts, kind="stable")[:items]
    near, strength = _nearest(embeddings, torch.from_numpy(known), np.arange(len(counts)), most)
    return Table.of_rows(len(counts), torch.from_numpy(known), near, strength)


def joined(table: Table, embeddings: Embeddings, *, most: int) -> Table:
    """Return a table over a catalogue that has grown: new items lead to others, and others to them.

    Where a row is full, a new item that is nearer takes the place of the farthest.

    Parameters
    ----------
    embeddings : of the catalogue as it is now, new items behind
    most : neighbours kept of each
    """
    before, now = len(table.place), len(embeddings.vectors)
    if now == before:
        return table
    new = np.arange(before, now)
    # Rows as they stand, but the last, which is nobody's.
    order = table.place.long().argsort()[: len(table.item) - 1]
    more, strength = _nearest(embeddings, order, new, most)
    strength = torch.cat([table.strength[:-1], strength], 1)
    strength, kept = strength.topk(min(most, strength.shape[1]), dim=1)
    near = torch.cat([table.item[:-1].long(), more], 1).gather(1, kept)
    theirs, own = _nearest(embeddings, torch.from_numpy(new), np.arange(now), most)
    width = max(near.shape[1], theirs.shape[1])
    return Table.of_rows(
        now,
        torch.cat([order, torch.from_numpy(new)]),
        torch.cat([_wide(near, width), _wide(theirs, width)]),
        torch.cat([_wide(strength, width), _wide(own, width)]),
    )


def _wide(part: Tensor, width: int) -> Tensor:
    return pad(part, (0, width - part.shape[1]))


def _nearest(
    embeddings: Embeddings, rows: Tensor, among: NDArray[np.int64], most: int
) -> tuple[Tensor, Tensor]:
    """Return int64 and float32 [rows, at most `most`]: items near each, and their strengths."""
    asked = _unit(embeddings, rows.numpy())
    items = torch.zeros(len(rows), 0, dtype=torch.int64)
    strengths = torch.zeros(len(rows), 0)
    for at in range(0, len(among), BLOCK):  # of vectors that may be larger than memory
        others = torch.from_numpy(among[at : at + BLOCK])
        unit = _unit(embeddings, others.numpy())
        here = torch.from_numpy(embeddings.present[others.numpy()])
        best = []
        for some, vectors, known, known_strength in zip(
            *(part.split(ROWS) for part in (rows, asked, items, strengths)), strict=True
        ):
            strength = torch.exp(SHARPNESS * (vectors @ unit.T - 1))
            strength *= here & torch.from_numpy(embeddings.present[some.numpy()])[:, None]
            strength[some[:, None] == others] = 0
            found = torch.cat([known_strength, strength], 1)
            found, kept = found.topk(min(most, found.shape[1]), dim=1)
            place = torch.cat([known, others.expand(len(some), -1)], 1).gather(1, kept)
            best.append((place, found))
        if best:
            items, strengths = (torch.cat(parts) for parts in zip(*best, strict=True))
    return items, strengths


def _unit(embeddings: Embeddings, items: NDArray[np.int64]) -> Tensor:
    """Return float32 [items, dim], at unit length."""
    return normalize(torch.from_numpy(np.asarray(embeddings.vectors[items])), dim=1)
