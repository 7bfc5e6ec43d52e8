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
ROWS = 512  # items compared at once


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


def joined(table: Table, embeddings: Embeddings) -> Table:
    """Return a table over a catalogue that has grown: new items lead to others, and others to them.

    Parameters
    ----------
    embeddings : of the catalogue as it is now, new items behind
    """
    before, now = len(table.place), len(embeddings.vectors)
    if now == before:
        return table
    new, most = np.arange(before, now), table.item.shape[1]
    # Rows as they stand, but the last, which is nobody's.
    order = table.place.long().argsort()[: len(table.item) - 1]
    more, strength = _nearest(embeddings, order, new, most)
    strength, kept = torch.cat([table.strength[:-1], strength], 1).topk(most, dim=1)
    near = torch.cat([table.item[:-1].long(), more], 1).gather(1, kept)
    theirs, own = _nearest(embeddings, torch.from_numpy(new), np.arange(now), most)
    wide = (0, most - theirs.shape[1])
    return Table.of_rows(
        now,
        torch.cat([order, torch.from_numpy(new)]),
        torch.cat([near, pad(theirs, wide)]),
        torch.cat([strength, pad(own, wide)]),
    )


def _nearest(
    embeddings: Embeddings, rows: Tensor, among: NDArray[np.int64], most: int
) -> tuple[Tensor, Tensor]:
    """Return int64 and float32 [rows, at most `most`]: items near each, and their strengths."""
    others = torch.from_numpy(among)
    unit = normalize(torch.from_numpy(np.asarray(embeddings.vectors[among])), dim=1)
    here = torch.from_numpy(embeddings.present[among])
    items, strengths = [], []
    for some in rows.split(ROWS):
        vectors = torch.from_numpy(np.asarray(embeddings.vectors[some.numpy()]))
        strength = torch.exp(SHARPNESS * (normalize(vectors, dim=1) @ unit.T - 1))
        strength *= here & torch.from_numpy(embeddings.present[some.numpy()])[:, None]
        strength[some[:, None] == others] = 0
        best = strength.topk(min(most, len(others)), dim=1)
        items.append(others[best.indices])
        strengths.append(best.values)
    width = min(most, len(others))
    return torch.cat([torch.empty(0, width, dtype=torch.int64), *items]), torch.cat(
        [torch.empty(0, width), *strengths]
    )
