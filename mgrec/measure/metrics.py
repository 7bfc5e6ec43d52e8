"""Item-level full-ranking metrics, all from one number a case: the rank of its target."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mgrec.errors import RequestError
from mgrec.measure.intervals import Interval, bootstrap

MISS = -1  # the rank of a target that is not in the list
LISTED = 20  # items a case that the widest column asks for

# The columns of every table, in this order. With one target a case, Hit@K is Recall@K.
COLUMNS = (
    *(f"Recall@{k}" for k in (5, 10, LISTED)),
    *(f"NDCG@{k}" for k in (5, 10, LISTED)),
    "MRR@10",
    "Hit@5",
)

_GAIN: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "Recall": np.ones_like,
    "Hit": np.ones_like,
    "NDCG": lambda place: 1 / np.log2(place + 1),
    "MRR": lambda place: 1 / place,
}


def ranks_of(top: NDArray[np.integer], targets: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return the 0-based place of every target in its list.

    Parameters
    ----------
    top : int [C, k]
        Item indices, best first; -1 where a list has ended, which no target ever matches. An item
        listed twice counts at its first place, and its second keeps the place it wastes.
    targets : int [C]
        Item indices.

    Returns
    -------
    int64 [C]
        0 is the first place; `MISS` where the target is not in the list.

    Raises
    ------
    RequestError
        If the two do not have one row a case.
    """
    if top.ndim != 2 or targets.shape != top.shape[:1]:
        raise RequestError(
            f"ranks: expected lists [cases, k] and targets [cases],"
            f" found {list(top.shape)} and {list(targets.shape)}"
        )
    if top.shape[1] == 0:
        return np.full(len(top), MISS, np.int64)
    found = (top == targets[:, None]) & (top >= 0)  # bool [C, k]
    return np.where(found.any(axis=1), found.argmax(axis=1), MISS).astype(np.int64)


def metric(ranks: NDArray[np.integer], name: str) -> NDArray[np.float64]:
    """Return one metric's value for every case; its mean is what tables print.

    Parameters
    ----------
    ranks : int [C]
        0-based, `MISS` where the target was not listed.
    name : str
        ``Recall@K``, ``Hit@K``, ``NDCG@K`` or ``MRR@K``, any K of at least 1.

    Returns
    -------
    float64 [C]
        Between 0 and 1.

    Raises
    ------
    RequestError
        If there is no such metric.
    """
    kind, _, cutoff = name.partition("@")
    if kind not in _GAIN or not cutoff.isdecimal() or int(cutoff) < 1:
        raise RequestError(f"metric '{name}': expected {', '.join(_GAIN)}, then @ and K >= 1")
    hit = (ranks >= 0) & (ranks < int(cutoff))
    place = np.where(hit, ranks, 0).astype(np.float64) + 1
    return np.where(hit, _GAIN[kind](place), 0.0)


def per_user(ranks: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return float64 [C, 8]: every case's value in every one of `COLUMNS`."""
    return np.stack([metric(ranks, name) for name in COLUMNS], axis=1)


def with_intervals(
    ranks: NDArray[np.integer], *, resamples: int = 2000, seed: int = 0
) -> dict[str, Interval]:
    """Return every one of `COLUMNS` with its 95% bootstrap interval over the cases.

    Parameters
    ----------
    ranks : int [C]
    resamples, seed : int
        As in `bootstrap`; the same cases are drawn for all columns.
    """
    found = bootstrap(per_user(ranks), resamples=resamples, seed=seed)
    return dict(zip(COLUMNS, found, strict=True))
