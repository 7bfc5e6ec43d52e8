"""K-means of our own: greedy k-means++, Lloyd's passes that split, exact nearest code."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray

Matrix = NDArray[np.float32]

# Distances that a block of rows has at once: 8 MiB of float32, so that a block stays in the cache.
_BLOCK = 1 << 21
# Points that seeding looks at, at least: it costs codes * points, and Lloyd's passes see them all.
_SEEDING = 1 << 12
# Candidates for each seed, of which the one that lowers the error most is kept.
_CANDIDATES = 4
# A code is weak with fewer points than this share of an even one, and than this many points.
_WEAK, _FEW = 0.2, 8
# Share of the passes in which weak codes are given up; the last ones converge undisturbed.
_SPLITTING = 0.75
# Relative error of float32 distances by GEMM, with a margin: below it, float64 decides.
_ROUNDING = 1e-5
# Squared distances below this share of the squared norms are rounding, not distance.
_NOTHING = 1e-6
# Squared distances below this share of the squared norms are not left to float32's GEMM in seeding.
_NEAR = 1e-3


def kmeans(
    points: Matrix,
    size: int,
    iterations: int,
    rng: np.random.Generator,
    step: Callable[[], None] = lambda: None,
) -> Matrix:
    """Return at most ``size`` centres of the points.

    Lloyd's passes alone collapse on what residuals are, many dimensions with little structure: a
    mean of few points has a long vector and one of many a short one, so the largest cluster draws
    everything and the other codes end with an outlier each. So a code that has hardly any points
    (under a fifth of an even share, and under 8) is given up, and the cluster with the largest
    error is split in two instead. On 3,256 pictures and 3 x 256 codes, this takes the perplexity
    of the third level from 21 to 179 and the error from .41 to .36 (faiss: 128 and .39).

    Where there are fewer distinct points than codes, fewer centres come back: each one returned
    is the nearest of some point.

    Parameters
    ----------
    points : float32 [points, dim]
        In random order, since seeding looks at the first 4,096, or 16 a code.
    size : int
        Codes wanted.
    iterations : int
        Passes at most.
    step : callable
        Called after each pass.

    Returns
    -------
    float32 [codes, dim]
        ``1 <= codes <= size``.
    """
    centres = _seeds(points[: max(_SEEDING, 16 * size)], size, rng)
    squares = _squares(points)
    labels = np.full(len(points), -1)
    for done in range(iterations):
        before, (labels, errors) = labels, _assign(points, squares, centres)
        centres, counts = _means(points, labels, size)
        few = min(_FEW, _WEAK * len(points) / size) if done < _SPLITTING * iterations else 1
        weak = np.flatnonzero(counts < max(1, few))
        if len(weak):
            centres = _split(points, labels, errors, centres, weak)
        elif np.array_equal(before, labels):
            break
        step()
    used = nearest(points, centres)  # exactly: float32 may lose a code to one that is near it
    return centres[np.bincount(used, minlength=size) > 0]


def nearest(points: Matrix, centres: Matrix) -> NDArray[np.int64]:
    """Return the nearest centre of each point as exact arithmetic would; the lowest wins a tie.

    A row's answer depends on that row alone, not on the batch it comes in: GEMM rounds
    differently from one batch to another, so whatever float32 cannot tell apart is settled in
    float64.

    Parameters
    ----------
    points : float32 [points, dim]
    centres : float32 [codes, dim]

    Returns
    -------
    int64 [points]
    """
    labels = np.empty(len(points), np.int64)
    longest = float(np.sqrt(_squares(centres).max()))
    for rows, scores in _scores(points, centres):
        block, here = points[rows], np.arange(len(scores))
        best = scores.argmin(1)
        lowest = scores[here, best]
        scores[here, best] = np.inf
        limit = lowest + _ROUNDING * longest * (2 * np.sqrt(_squares(block)) + longest)
        close = np.flatnonzero(scores.min(1) <= limit)
        if len(close):
            scores[here, best] = lowest
            best[close] = _settle(block[close], centres, scores[close] <= limit[close, None])
        labels[rows] = best
    return labels


def _settle(points: Matrix, centres: Matrix, candidates: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Choose between candidates [points, codes], at least one a row, by float64 differences."""
    rows, codes = np.nonzero(candidates)
    # Summed along each pair's own row, so that the result is the same in any batch.
    distance = np.square(points[rows].astype(np.float64) - centres[codes]).sum(1)
    order = np.lexsort((codes, distance, rows))
    _, first = np.unique(rows[order], return_index=True)
    return codes[order[first]]


def _scores(points: Matrix, centres: Matrix) -> Iterator[tuple[slice, Matrix]]:
    """Yield blocks of |c|^2 - 2xc, [block, codes]: the squared distance less |x|^2."""
    weights = np.ascontiguousarray(-2 * centres.T)
    offsets = _squares(centres)
    block = min(max(256, _BLOCK // len(centres)), len(points))
    buffer = np.empty((block, len(centres)), np.float32)
    for start in range(0, len(points), block):
        rows = slice(start, min(start + block, len(points)))
        scores = buffer[: rows.stop - start]
        np.matmul(points[rows], weights, out=scores)
        scores += offsets
        yield rows, scores


def _squares(points: Matrix) -> Matrix:
    """Return the squared length of each row."""
    lengths: Matrix = np.einsum("nd,nd->n", points, points)
    return lengths


def _assign(points: Matrix, squares: Matrix, centres: Matrix) -> tuple[NDArray[np.int64], Matrix]:
    """Return each point's nearest centre, to float32, and its squared distance."""
    labels, errors = np.empty(len(points), np.int64), np.empty(len(points), np.float32)
    for rows, scores in _scores(points, centres):
        labels[rows] = best = scores.argmin(1)
        errors[rows] = scores[np.arange(len(scores)), best]
    errors += squares
    errors[errors < _NOTHING * squares] = 0
    return labels, errors


def _means(
    points: Matrix, labels: NDArray[np.int64], size: int
) -> tuple[Matrix, NDArray[np.int64]]:
    """Return the mean of each label's points [size, dim] and their number [size]."""
    sums = torch.zeros(size, points.shape[1])
    sums.index_add_(0, torch.from_numpy(labels), torch.from_numpy(points))
    counts = np.bincount(labels, minlength=size)
    means = sums / torch.from_numpy(counts).clamp(min=1)[:, None]
    return means.numpy(), counts


def _split(
    points: Matrix,
    labels: NDArray[np.int64],
    errors: Matrix,
    centres: Matrix,
    weak: NDArray[np.int64],
) -> Matrix:
    """Move weak codes into the clusters of the largest error, which each of them halves."""
    total = np.bincount(labels, errors, minlength=len(centres))
    total[weak] = 0
    large = np.argsort(-total, kind="stable")[: len(weak)]
    large = large[total[large] > 0]
    # Any point off the centre, which in random order the first one is: the farthest would be an
    # outlier. Of several written to one place the last one stays, hence backwards.
    apart = np.flatnonzero(errors > 0)[::-1]
    member = np.zeros(len(centres), np.int64)
    member[labels[apart]] = apart
    # Two centres on either side of the old one: what lies between them is cut through its middle.
    shift = (points[member[large]] - centres[large]) / 2
    moved = centres.copy()
    moved[weak[: len(large)]] = centres[large] + shift
    moved[large] -= shift
    return moved


def _seeds(points: Matrix, size: int, rng: np.random.Generator) -> Matrix:
    """Return greedy k-means++ seeds (Arthur and Vassilvitskii, 2007), [size, dim].

    Each is the best of a few points drawn by their squared distance to the nearest seed so far.
    Once every point is a seed, the first is repeated: a tie goes to the lowest, so that the
    repeats are never chosen.
    """
    squares = _squares(points)
    chosen = [int(rng.integers(len(points)))]
    closest = np.square(points - points[chosen[0]]).sum(1)
    for _ in range(1, size):
        heap = np.cumsum(closest, dtype=np.float64)
        if heap[-1] <= 0:
            break
        drawn = np.searchsorted(heap, rng.random(_CANDIDATES) * heap[-1], side="right")
        distances = points @ (-2 * points[drawn].T) + squares[drawn] + squares[:, None]
        kept = np.minimum(distances, closest[:, None]).sum(0).argmin()
        best, distance = int(drawn[kept]), distances[:, kept]
        # GEMM's rounding matters near the seed: a duplicate of it has to be at exactly zero.
        near = np.flatnonzero(distance < _NEAR * squares)
        distance[near] = np.square(points[near] - points[best]).sum(1)
        np.minimum(closest, distance, out=closest)
        chosen.append(best)
    return points[chosen + chosen[:1] * (size - len(chosen))]
