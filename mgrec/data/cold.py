"""Items held out whole: a dataset as if they had not come yet."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mgrec.data.dataset import Dataset
from mgrec.data.sequences import Sequences
from mgrec.errors import RequestError


def drawn(data: Dataset, share: float, seed: int) -> NDArray[np.int64]:
    """Draw the items to hold out, each as likely as the other.

    Returns
    -------
    int64 [items held out]
        In ascending order; at least one.

    Raises
    ------
    RequestError
        If the share is not between 0 and a half.
    """
    if not 0 < share <= 0.5:
        raise RequestError(f"cold: found a share of {share:g}, expected above 0 and at most 0.5")
    n = max(1, round(share * data.n_items))
    return np.sort(np.random.default_rng(seed).permutation(data.n_items)[:n])


def without(data: Dataset, rows: NDArray[np.int64]) -> Dataset:
    """Return a dataset without some items: no row, no occurrence, no vector of theirs is left.

    Users who took nothing else are left out.
    """
    kept = np.setdiff1d(np.arange(data.n_items), rows)
    index = np.full(data.n_items, -1, np.int32)
    index[kept] = np.arange(len(kept))
    log, users = known_only(data.log, index)
    times = None
    if data.times is not None:
        times = data.times[index[data.log.items] >= 0]
    return replace(
        data,
        items=data.items[kept],
        users=data.users.gather(users),
        log=log.select(users),
        times=times,
        embeddings={m: e.select(kept) for m, e in data.embeddings.items()},
        codes={m: c.select(kept) for m, c in data.codes.items()},
    )


def known_only(log: Sequences, index: NDArray[np.integer]) -> tuple[Sequences, NDArray[np.int64]]:
    """Return a log in other indices, -1 dropped, and which rows are left with anything."""
    items = index[log.items]
    passed = np.concatenate([[0], np.cumsum(items >= 0)])
    shorter = Sequences(passed[log.offsets], items[items >= 0].astype(np.int32))
    return shorter, np.flatnonzero(shorter.lengths)
