"""What every recommender here can do, models and baselines alike: rank the whole catalogue."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mgrec.data.sequences import Sequences
from mgrec.errors import RequestError


class Ranker(Protocol):
    """Anything that answers histories with items."""

    def top(self, history: Sequences, k: int, exclude_seen: bool = False) -> NDArray[np.int64]:
        """Return int64 [rows, k]: item indices, best first, -1 behind the last.

        Parameters
        ----------
        exclude_seen : whether items of a row's history are left out

        Raises
        ------
        RequestError
            If k is below 1.
        """
        ...


def check_k(k: int) -> None:
    """Refuse a list shorter than one item."""
    if k < 1:
        raise RequestError(f"k: expected at least 1, found {k}")


def best(scores: NDArray[np.floating], k: int) -> NDArray[np.int64]:
    """Return the k best columns of every row, best first; equal scores in order of the columns.

    Parameters
    ----------
    scores : float [rows, items]
        Minus infinity where an item may not be listed.
    k : int
        At least 1.

    Returns
    -------
    int64 [rows, k]
        -1 behind the last item that may be listed.
    """
    rows, items = scores.shape
    kept = min(k, items)
    out = np.full((rows, k), -1, np.int64)
    if rows == 0 or kept == 0:
        return out
    threshold = np.partition(scores, items - kept, axis=1)[:, items - kept, None]  # the k-th best
    chosen = scores > threshold
    tied = scores == threshold
    room = kept - chosen.sum(axis=1)
    crowded = tied.sum(axis=1) > room  # only then does it matter which of the equals come in
    tied[crowded] &= np.cumsum(tied[crowded], axis=1) <= room[crowded, None]
    columns = np.nonzero(chosen | tied)[1].reshape(rows, kept)
    values = np.take_along_axis(scores, columns, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    ordered = np.take_along_axis(columns, order, axis=1)
    legal = np.take_along_axis(values, order, axis=1) > -np.inf
    out[:, :kept] = np.where(legal, ordered, -1)
    return out


def unseen(top: NDArray[np.integer], history: Sequences, k: int) -> NDArray[np.int64]:
    """Return the first k of every list that its history does not hold, -1 behind the last.

    Any ranker leaves out what a user already has by listing as many more items as the longest
    history has.

    Parameters
    ----------
    top : int [rows, m]
        Item indices, best first; -1 where a list has ended.
    history : Sequences
        One row a list.
    k : int

    Returns
    -------
    int64 [rows, k]
    """
    width = 1 + max(int(top.max(initial=-1)), int(history.items.max(initial=-1)))
    rows = np.arange(len(top))
    held = np.repeat(rows, history.lengths) * width + history.items
    gone = (top < 0) | np.isin(rows[:, None] * width + top, held)
    order = np.argsort(gone, axis=1, kind="stable")[:, :k]  # kept ones first, in their order
    out = np.full((len(top), k), -1, np.int64)
    out[:, : order.shape[1]] = np.where(
        np.take_along_axis(gone, order, axis=1), -1, np.take_along_axis(top, order, axis=1)
    )
    return out
