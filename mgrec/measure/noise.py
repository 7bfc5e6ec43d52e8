"""What training anew would change: the noise between seeds, in tests of one row against another.

A test over users holds the models fixed. The same recipe with another seed scores otherwise too,
and where training is short that moves a row by more than other users would, so that a test which
knows of users alone finds a difference between almost any two rows. Here both count. A row has few
seeds, too few to tell its noise by itself; so the rows of a table pool theirs, as in an analysis of
variance: one standard deviation, with as many degrees of freedom as there are seeds beyond the
first of every row. It serves rows of a single seed too.
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
    def users(self) -> NDArray[np.float64]:
        """Mean over runs, float64 [users]."""
        return np.asarray(self.values.mean(0))

    @property
    def runs(self) -> tuple[float, ...]:
        """Mean over users with each run."""
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
        means = [np.array(row.runs) for row in rows if row.drawn]
        freedom = sum(len(row) - 1 for row in means)
        squares = sum(float(((row - row.mean()) ** 2).sum()) for row in means)
        return cls(math.sqrt(squares / freedom) if freedom else math.nan, freedom)

    @property
    def known(self) -> bool:
        """Whether any row has two seeds."""
        return self.freedom > 0

    def error(self, row: Scores) -> float:
        """Return the standard error of a row's mean over its seeds; 0 where nothing is drawn."""
        return self.deviation / math.sqrt(len(row.values)) if self.known and row.drawn else 0.0


def difference(ours: Scores, theirs: Scores, noise: Noise) -> Paired:
    """Test whether one row scores otherwise than another, for other users and other seeds.

    The errors of users and of seeds add in squares; p is of Student's t, its degrees of freedom by
    Welch and Satterthwaite (Biometrics Bulletin 2(6), 1946). What a seed does to some users and not
    to others is in both errors, so that they are on the wide side. Without any noise between
    seeds, known or possible, it is `mgrec.measure.intervals.paired`: users alone.

    Raises
    ------
    RequestError
        If the rows do not have the same users, or none.
    """
    error, freedom = _error(ours, theirs, 1.0, noise)
    if not freedom:
        return paired(ours.users, theirs.users)
    each = ours.users - theirs.users
    value = float(each.mean())
    p = 2 * float(stdtr(freedom, -abs(value) / error))
    return Paired(_within(value, error, freedom), p, len(each))


def from_zero(differences: Scores, noise: Noise) -> Paired:
    """Test whether differences, taken user by user and run by run, are other than zero.

    It is for two figures of the same runs, whose chances are not each other's equal and independent
    as `difference` takes them to be: what one gains, the other may lose.
    """
    nothing = np.zeros((1, differences.values.shape[1]))
    return difference(differences, Scores(nothing, drawn=False), noise)


def relative(ours: Scores, theirs: Scores, noise: Noise) -> Interval:
    """Return ``mean(ours) / mean(theirs)`` with its 95% interval, over users and seeds.

    The error is that of ``ours - value * theirs`` over the mean of theirs (the delta method);
    without noise between seeds it is `mgrec.measure.intervals.ratio`.

    Raises
    ------
    RequestError
        If the rows do not have the same users.
    """
    whole = float(theirs.users.mean())
    value = float(ours.users.mean()) / whole if whole else math.nan
    error, freedom = _error(ours, theirs, value, noise)
    if not freedom:
        return ratio(ours.users, theirs.users)
    return _within(value, error / whole, freedom)


def _error(ours: Scores, theirs: Scores, times: float, noise: Noise) -> tuple[float, float]:
    """Return the standard error of ``ours - times * theirs`` and its degrees of freedom.

    Degrees of freedom are 0 where seeds have no part in the error, or none that is known.
    """
    seeds = math.hypot(noise.error(ours), times * noise.error(theirs))
    one, other = ours.users, theirs.users
    if not seeds > 0 or len(one) < 2 or len(one) != len(other):  # the test over users refuses
        return 0.0, 0.0
    each = one - times * other
    users = float(each.std(ddof=1)) / math.sqrt(len(each))
    error = math.hypot(users, seeds)
    return error, error**4 / (users**4 / (len(each) - 1) + seeds**4 / noise.freedom)


def _within(value: float, error: float, freedom: float) -> Interval:
    half = error * float(stdtrit(freedom, 0.975))
    return Interval(value, value - half, value + half)
