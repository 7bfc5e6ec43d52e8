"""What training anew would change: the noise between seeds, in tests of one row against another.

A test over users holds the models fixed. The same recipe with another seed scores otherwise too,
and where training is short that moves a row by more than other users would, so that a test which
knows of users alone finds a difference between almost any two rows. Here both count.

A row has few seeds, so the rows of a table pool what theirs differ by, as in an analysis of
variance; a row of one seed is tested by what the others tell. Pooling takes rows to be equally
noisy, and two noisy rows among quiet ones would be told apart too often. So where both rows of a
pair have several seeds, their own noise is tried too, and the more careful answer stands.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from mgrec.measure.intervals import Interval, Paired, paired, ratio


@dataclass(frozen=True, eq=False)
class Scores:
    """One metric of a row, for every user with every run.

    Attributes
    ----------
    values : float64 [runs, users]
    drawn : whether another run would differ; a baseline without chance in it has one run, and
        would not
    """

    values: NDArray[np.float64]
    drawn: bool = True

    @property
    def by_user(self) -> NDArray[np.float64]:
        """Mean over runs, float64 [users]."""
        return np.asarray(self.values.mean(0))

    @property
    def by_run(self) -> tuple[float, ...]:
        """Mean over users, of each run."""
        return tuple(self.values.mean(1).tolist())


@dataclass(frozen=True)
class Noise:
    """How far a mean over users moves from seed to seed.

    Attributes
    ----------
    deviation : standard deviation within rows, pooled over them; NaN where no row has two seeds
    freedom : degrees of freedom of that deviation
    """

    deviation: float
    freedom: int

    @classmethod
    def of(cls, rows: Iterable[Scores]) -> Noise:
        """Pool what the seeds of each row differ by."""
        means = [np.array(row.by_run) for row in rows]
        freedom = sum(len(row) - 1 for row in means)
        squares = sum(float(((row - row.mean()) ** 2).sum()) for row in means)
        return cls(math.sqrt(squares / freedom) if freedom else math.nan, freedom)

    @property
    def known(self) -> bool:
        """Whether any row has two seeds."""
        return self.freedom > 0

    def variance(self, row: Scores) -> float:
        """Return the squared error of a row's mean over its seeds; 0 where nothing is drawn."""
        return self.deviation**2 / len(row.values) if row.drawn else 0.0


def difference(ours: Scores, theirs: Scores, noise: Noise) -> Paired:
    """Test whether one row scores otherwise than another, for other users and other seeds.

    The errors of users and of seeds add in squares; p is of Student's t, its degrees of freedom by
    Welch and Satterthwaite (Biometrics Bulletin 2(6), 1946). What a seed does to some users and not
    to others is in both errors, so that they are on the wide side. Without any noise between
    seeds, known or possible, it is `mgrec.measure.intervals.paired`: users alone.

    Parameters
    ----------
    noise : of the table that the rows are of

    Raises
    ------
    RequestError
        If the rows do not have the same users, or none.
    """
    tests = [errors.of(1.0) for errors in _errors(ours, theirs, noise)]
    if not tests:
        return paired(ours.by_user, theirs.by_user)
    value = float((ours.by_user - theirs.by_user).mean())
    half = max(error * float(stdtrit(freedom, 0.975)) for error, freedom in tests)
    p = max(2 * float(stdtr(freedom, -abs(value) / error)) for error, freedom in tests)
    return Paired(Interval(value, value - half, value + half), p, ours.values.shape[1])


def from_zero(differences: Scores) -> Paired:
    """Test whether differences, taken user by user and run by run, are other than zero.

    It is for two figures of the same runs, whose chances are not independent as `difference` takes
    them to be: what one gains, the other may lose.
    """
    nothing = Scores(np.zeros_like(differences.values[:1]), drawn=False)
    return difference(differences, nothing, Noise.of([differences]))


def relative(ours: Scores, theirs: Scores, noise: Noise) -> Interval:
    """Return ``mean(ours) / mean(theirs)`` with its 95% interval, over users and seeds.

    The interval holds every ratio r for which ``ours - r * theirs`` is not told from zero (Fieller,
    J. R. Stat. Soc. B 16(2), 1954); all of them, where theirs is not told from zero. Without noise
    between seeds it is `mgrec.measure.intervals.ratio`, NaN where theirs is nothing.

    Raises
    ------
    RequestError
        If the rows do not have the same users.
    """
    one, other = float(ours.values.mean()), float(theirs.values.mean())
    found = _errors(ours, theirs, noise)
    if not found or not other:
        return ratio(ours.by_user, theirs.by_user)
    value, ends = one / other, []
    for errors in found:
        _, freedom = errors.of(value)
        squared = float(stdtrit(freedom, 0.975)) ** 2
        [[a, b], [_, c]] = np.outer((one, other), (one, other)) - squared * errors.both
        if c <= 0:
            return Interval(value, -math.inf, math.inf)
        root = math.sqrt(max(b * b - a * c, 0.0))
        ends += [(b - root) / c, (b + root) / c]
    return Interval(value, min(ends), max(ends))


@dataclass(frozen=True, eq=False)
class _Errors:
    """How far two rows' means may be from the truth.

    Attributes
    ----------
    users, seeds : float64 [2, 2], covariance of the two means that is due to each
    freedom : of each, degrees
    """

    users: NDArray[np.float64]
    seeds: NDArray[np.float64]
    freedom: tuple[int, int]

    @property
    def both(self) -> NDArray[np.float64]:
        """Covariance of the means, [2, 2]."""
        return self.users + self.seeds

    def of(self, times: float) -> tuple[float, float]:
        """Return the standard error of ``ours - times * theirs``, and its degrees of freedom."""
        each = np.array([1.0, -times])
        users, seeds = float(each @ self.users @ each), float(each @ self.seeds @ each)
        over_users, over_seeds = self.freedom
        freedom = (users + seeds) ** 2 / (users**2 / over_users + seeds**2 / over_seeds)
        return math.sqrt(users + seeds), freedom


def _errors(ours: Scores, theirs: Scores, noise: Noise) -> list[_Errors]:
    """Return the errors by the table's noise, and by the pair's own where both tell of it.

    Nothing where seeds have no part in the error, or none that is known.
    """
    rows, users = (ours, theirs), ours.values.shape[1]
    if users < 2 or users != theirs.values.shape[1]:
        return []
    of_users = np.cov(ours.by_user, theirs.by_user) / users
    tell = all(len(row.values) > 1 for row in rows if row.drawn)
    found = []
    for one in (noise, Noise.of(rows)) if tell else (noise,):
        of_seeds = np.diag([one.variance(row) for row in rows])
        if one.known and of_seeds.any():
            found.append(_Errors(of_users, of_seeds, (users - 1, one.freedom)))
    return found
