"""How far a mean over users can be believed: intervals, paired tests, many comparisons.

Metrics take few different values (one a rank), so users are drawn by value: a resample of n users
is one draw of Multinomial(n, count of each value / n). That is the bootstrap over users exactly,
at a cost that hardly grows with n (22,000 users, eight metrics, 2,000 resamples: 0.1 s).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mgrec.errors import RequestError

_CELLS = 4_000_000  # drawn numbers held at once, so that memory stays bounded


@dataclass(frozen=True)
class Interval:
    """A mean and the ends of its interval; NaN where there was nothing to average."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Paired:
    """How run `a` differs from run `b` on the same users.

    Attributes
    ----------
    difference : Interval
        Mean of a - b.
    p : float
        Two-sided.
    users : int
    """

    difference: Interval
    p: float
    users: int


def bootstrap(
    values: NDArray[np.floating], *, resamples: int = 2000, seed: int = 0, level: float = 0.95
) -> list[Interval]:
    """Return the mean of every column with its percentile interval over users.

    Parameters
    ----------
    values : float [users, columns]
        One row a user. All columns see the same resamples.
    resamples : int
        How often as many users are drawn with replacement.
    seed : int
    level : float
        The part of resampled means that lies within the interval.

    Returns
    -------
    list of Interval
        One a column; NaN throughout where there are no users.

    Raises
    ------
    RequestError
        If a value is not finite, or the shape or a setting makes no sense.
    """
    if values.ndim != 2 or resamples < 1 or not 0 < level < 1:
        raise RequestError(
            f"bootstrap: expected values [users, columns], resamples >= 1 and 0 < level < 1,"
            f" found {list(values.shape)}, {resamples} and {level}"
        )
    if not np.isfinite(values).all():
        raise RequestError("bootstrap: expected finite values, found NaN or infinity")
    users, columns = values.shape
    if users == 0:
        return [Interval(np.nan, np.nan, np.nan)] * columns
    exact, means = _resampled(values, resamples, seed)
    tail = (1 - level) / 2
    low, high = np.quantile(means, [tail, 1 - tail], axis=0)
    return [Interval(*map(float, ends)) for ends in zip(exact, low, high, strict=True)]


def ratio(
    part: NDArray[np.floating], whole: NDArray[np.floating], *, resamples: int = 2000, seed: int = 0
) -> Interval:
    """Return ``sum(part) / sum(whole)`` with its 95% percentile interval over users.

    Parameters
    ----------
    part, whole : float [users]
        For "of what one run hits, how much another hits too": hits of both, hits of the one.

    Returns
    -------
    Interval
        NaN throughout where the whole is nothing.

    Raises
    ------
    RequestError
        If the two do not have the same users.
    """
    if part.ndim != 1 or part.shape != whole.shape:
        raise RequestError(
            f"ratio: expected one value for each of the same users,"
            f" found {list(part.shape)} and {list(whole.shape)}"
        )
    if not whole.any():
        return Interval(np.nan, np.nan, np.nan)
    exact, means = _resampled(np.stack([part, whole], axis=1), resamples, seed)
    drawn = means[means[:, 1] > 0]  # a draw of users without any has no ratio
    low, high = np.quantile(drawn[:, 0] / drawn[:, 1], [0.025, 0.975])
    return Interval(float(exact[0] / exact[1]), float(low), float(high))


def _resampled(
    values: NDArray[np.floating], resamples: int, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the columns' means, and [resamples, columns] means of as many users drawn anew."""
    users = len(values)
    cells, counts = np.unique(values.astype(np.float64), axis=0, return_counts=True)
    random = np.random.default_rng(seed)
    means = np.concatenate(
        [
            random.multinomial(users, counts / users, size=rows) @ cells / users
            for rows in _chunks(resamples, len(cells))
        ]
    )
    return counts @ cells / users, means


def paired(
    a: NDArray[np.floating],
    b: NDArray[np.floating],
    *,
    resamples: int = 2000,
    flips: int = 10_000,
    seed: int = 0,
) -> Paired:
    """Compare two runs on the same users, user by user.

    If the runs did not differ, each user's difference could as well have had the other sign; p is
    the part of random sign flips (the one observed included) with a mean as far from zero, and
    never below 1 / (flips + 1). The interval is the bootstrap's.

    Parameters
    ----------
    a, b : float [users]
        One metric's value for every user, in one order (a mean over seeds, where there are any).
    resamples : int
        Of users, for the interval.
    flips : int
        Of signs, for p.
    seed : int

    Raises
    ------
    RequestError
        If the runs do not have the same users, or none.
    """
    if a.ndim != 1 or a.shape != b.shape or len(a) == 0:
        raise RequestError(
            f"paired test: expected one value for each of the same users,"
            f" found {list(a.shape)} and {list(b.shape)}"
        )
    difference = a.astype(np.float64) - b.astype(np.float64)
    [interval] = bootstrap(difference[:, None], resamples=resamples, seed=seed)
    return Paired(interval, _sign_flip(difference, flips, seed), len(a))


def _sign_flip(difference: NDArray[np.float64], flips: int, seed: int) -> float:
    """Return the two-sided p of a mean of zero."""
    # Users with no difference have no sign to flip. In one order and of one sign, so that a
    # against b and b against a draw alike.
    size = np.sort(np.abs(difference[difference != 0]))
    random = np.random.default_rng(seed)
    observed = abs(difference.sum())
    as_far = 0
    for rows in _chunks(flips, len(size)):
        plus = random.integers(0, 2, (rows, len(size)), dtype=np.int8) @ size
        # Sums of the same numbers in another order may differ in their last digits.
        as_far += int((np.abs(2 * plus - size.sum()) >= observed * (1 - 1e-9) - 1e-12).sum())
    return (1 + as_far) / (1 + flips)


def _chunks(rows: int, width: int) -> Iterator[int]:
    """Yield how many rows of this width to draw at a time."""
    step = max(1, _CELLS // max(width, 1))
    return (min(step, rows - start) for start in range(0, rows, step))


def holm(p: Sequence[float]) -> list[float]:
    """Return p values corrected for being several (Holm, step down), in the order given.

    Calling significant what stays below .05 keeps the chance of any false call below .05.

    Raises
    ------
    RequestError
        If a value is no probability.
    """
    raw = np.asarray(p, np.float64)
    if not ((raw >= 0) & (raw <= 1)).all():
        raise RequestError(f"Holm correction: expected values between 0 and 1, found {list(p)}")
    order = np.argsort(raw, kind="stable")
    stepped = np.maximum.accumulate(raw[order] * np.arange(len(raw), 0, -1))
    corrected = np.empty_like(raw)
    corrected[order] = np.minimum(stepped, 1)
    return [float(value) for value in corrected]
