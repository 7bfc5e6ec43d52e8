"""Overlap of predictions: whose hits and whose lists a strategy repeats.

Table 2 of arXiv 2503.23333: of what early fusion hits, how much text alone and image alone hit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mgrec.measure.intervals import Interval, bootstrap, ratio

K = 10  # items of a list that count


@dataclass(frozen=True)
class Overlap:
    """What one row shares with another.

    Attributes
    ----------
    row, other : names of rows
    hits : of the first row's hits among ten, the share that the other hits too
    base : share of all cases that the other hits: what chance alone would give
    lists : of ten items recommended to a user, the share that the other recommends too; None
        where the lists of one were not kept
    """

    row: str
    other: str
    hits: Interval
    base: float
    lists: Interval | None


def hits_of(ranks: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return float64 [..., cases]: 1 where a 0-based rank, -1 for none, is among the first ten."""
    return ((ranks >= 0) & (ranks < K)).astype(np.float64)


def shared(
    ours: NDArray[np.float64],  # [seeds, cases], hits
    theirs: NDArray[np.float64],  # [seeds, cases]
) -> Interval:
    """Return the share of our hits that are theirs too, seed beside seed, interval over users."""
    return ratio((ours * theirs).mean(0), ours.mean(0))


def listed(a: NDArray[np.integer], b: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return float64 [cases]: which share of each list of `a` also stands in that of `b`.

    Parameters
    ----------
    a, b : int [cases, k]
        Items, each once, -1 behind the last; the first ten count.
    """
    a, b = a[:, :K], b[:, :K]
    same = (a[:, :, None] == b[:, None, :]) & (a >= 0)[:, :, None]
    return same.any(2).sum(1) / np.maximum((a >= 0).sum(1), 1)


def mean(values: NDArray[np.float64]) -> Interval:
    """Return the mean over users with its interval; values are float64 [users]."""
    [found] = bootstrap(values[:, None])
    return found
