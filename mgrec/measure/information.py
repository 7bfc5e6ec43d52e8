"""Adjusted mutual information: how far two groupings of the same items agree beyond chance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mgrec.errors import RequestError

_CELLS = 4_000_000  # terms of the expectation held at once, so that memory stays bounded


def adjusted_mutual_information(a: NDArray[np.integer], b: NDArray[np.integer]) -> float:
    """Return the agreement of two groupings: 1 where they are the same, about 0 by chance.

    The mutual information of groupings with many groups is high whatever they are; here what
    random groupings of the same sizes would have is taken off, exactly (Vinh, Epps & Bailey,
    JMLR 11, 2010, equation 24a), and the mean of both entropies is the most there can be. What
    the groups are called does not matter.

    Parameters
    ----------
    a, b : int [items]
        Each item's group in the one and in the other.

    Returns
    -------
    float
        At most 1; may lie a little below 0. NaN where there are no items.

    Raises
    ------
    RequestError
        If the two are not of the same items.
    """
    if a.ndim != 1 or a.shape != b.shape:
        raise RequestError(
            "mutual information: expected one group an item in each,"
            f" found {list(a.shape)} and {list(b.shape)}"
        )
    n = len(a)
    if n == 0:
        return float("nan")
    _, a, of_a = np.unique(a, return_inverse=True, return_counts=True)
    _, b, of_b = np.unique(b, return_inverse=True, return_counts=True)
    if len(of_a) == len(of_b) == 1 or len(of_a) == len(of_b) == n:
        return 1.0  # both say nothing, or both name every item: the same grouping
    cell, shared = np.unique(a.astype(np.int64) * len(of_b) + b, return_counts=True)
    independent = of_a[cell // len(of_b)] * of_b[cell % len(of_b)] / n
    mutual = float((shared / n * np.log(shared / independent)).sum())
    most = (_entropy(of_a) + _entropy(of_b)) / 2
    expected = _expected(of_a, of_b)
    if most - expected <= 1e-12:  # no grouping of these sizes could tell more than chance does
        return 0.0
    return (mutual - expected) / (most - expected)


def prefixes(codes: NDArray[np.integer], levels: int) -> NDArray[np.int64]:
    """Return int64 [items]: one number for each distinct beginning of [items, all levels]."""
    _, group = np.unique(codes[:, :levels], axis=0, return_inverse=True)
    return group.reshape(-1).astype(np.int64)


def _entropy(sizes: NDArray[np.integer]) -> float:
    share = sizes / sizes.sum()
    return float(-(share * np.log(share)).sum())


def _expected(of_a: NDArray[np.integer], of_b: NDArray[np.integer]) -> float:
    """Return the mean mutual information of all groupings with these sizes, int [groups] each.

    A term depends on its two groups through their sizes alone, so that groups of a size are
    counted and not looped over; shared items between two groups are hypergeometric.
    """
    n = int(of_a.sum())
    log_factorial = np.concatenate([[0.0], np.log(np.arange(1, n + 1)).cumsum()])
    sizes_a, count_a = np.unique(of_a, return_counts=True)
    sizes_b, count_b = np.unique(of_b, return_counts=True)
    total = 0.0
    for size, count in zip(sizes_a.tolist(), count_a.tolist(), strict=True):
        step = max(1, _CELLS // size)
        for at in range(0, len(sizes_b), step):
            other, times = sizes_b[at : at + step, None], count_b[at : at + step]
            shared = np.arange(1, min(size, int(other.max())) + 1)[None, :]
            real = (shared <= other) & (shared >= size + other - n)  # [sizes of b, shared]
            m = np.where(real, shared, np.maximum(1, size + other - n))
            log_p = (
                log_factorial[size]
                + log_factorial[other]
                + log_factorial[n - size]
                + log_factorial[n - other]
                - log_factorial[n]
                - log_factorial[m]
                - log_factorial[size - m]
                - log_factorial[other - m]
                - log_factorial[n - size - other + m]
            )
            gain = m / n * np.log(n * m / (size * other)) * np.exp(log_p)
            total += count * float((np.where(real, gain, 0.0).sum(1) * times).sum())
    return total
