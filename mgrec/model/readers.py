"""A reader of histories, asked for whole lists."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mgrec.data.sequences import Sequences
from mgrec.measure.ranker import best, check_k

RANKED = 512  # histories scored at once


class Reader(Protocol):
    """What makes a state of a history, and scores the catalogue by it."""

    @property
    def history(self) -> int:
        """Most items of a history that are read."""

    @property
    def device(self) -> torch.device:
        """Where it reads."""

    def last(self, items: Tensor) -> Tensor:
        """int64 [rows, n], -1 for padding on the right, none empty -> [rows, ...], states."""

    def scores(self, states: Tensor) -> Tensor:
        """Return float32 [rows, items], logits."""


@torch.inference_mode()
def best_items(
    reader: Reader,
    history: Sequences,
    k: int,
    exclude_seen: bool = False,
    listed: NDArray[np.bool_] | None = None,
) -> NDArray[np.int64]:
    """Return int64 [rows, k]: item indices, best first, -1 behind the last.

    Parameters
    ----------
    history : one row a user, none empty
    listed : bool [items], which may come out; None: all

    Raises
    ------
    RequestError
        If k is below 1.
    """
    check_k(k)
    out = np.full((len(history), k), -1, np.int64)
    recent = history.last(reader.history)
    order = np.argsort(recent.lengths, kind="stable")
    gone = None if listed is None or listed.all() else torch.from_numpy(~listed)
    for at in range(0, len(order), RANKED):
        rows = order[at : at + RANKED]
        read = torch.from_numpy(recent.select(rows).padded()).to(reader.device)
        scores = reader.scores(reader.last(read)).cpu()
        if exclude_seen:
            seen = torch.from_numpy(history.select(rows).padded())
            owner = torch.arange(len(rows))[:, None].expand_as(seen)
            scores[owner[seen >= 0], seen[seen >= 0]] = float("-inf")
        if gone is not None:
            scores[:, gone] = float("-inf")
        out[rows] = best(scores.numpy(), k)
    return out
