"""What is trained on, and what is held out: validation to choose by, test to report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mgrec.configs import SplitConfig
from mgrec.data.interactions import FEWEST
from mgrec.data.sequences import Sequences
from mgrec.errors import DataError


class Logged(Protocol):
    """Whatever has a log: a dataset, or the users of a trained recommender."""

    @property
    def log(self) -> Sequences: ...

    @property
    def times(self) -> NDArray[np.int64] | None: ...


@dataclass(frozen=True)
class Cases:
    """Questions with a known answer: after this history, which item came next?

    Attributes
    ----------
    users : int64 [cases]
        User index; no user is there twice.
    history : Sequences
        Row c is everything that user ``users[c]`` took before the target, oldest first; never
        empty.
    targets : int32 [cases]
        Item index.
    """

    users: NDArray[np.int64]
    history: Sequences
    targets: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.users)

    def select(self, rows: NDArray[np.integer]) -> Cases:
        """Return some cases, in the order named; rows int [cases]."""
        return Cases(self.users[rows], self.history.select(rows), self.targets[rows])

    def sample(self, most: int, seed: int) -> Cases:
        """Return as many cases at most, drawn at random and in their old order."""
        rows = np.random.default_rng(seed).permutation(len(self))[:most]
        return self.select(np.sort(rows))


@dataclass(frozen=True)
class Split:
    """A log in three parts.

    Attributes
    ----------
    train : Sequences
        Row = user index; a row may be empty.
    validation, test : Cases
    """

    train: Sequences
    validation: Cases
    test: Cases


def split(data: Logged, config: SplitConfig) -> Split:
    """Split a log as ``config.kind`` says.

    Users with fewer than three interactions are never asked about, whatever the kind.

    Raises
    ------
    DataError
        If ``global_time`` finds no moments, or nothing before its first cut.
    """
    kinds: dict[str, Callable[[Logged, SplitConfig], Split]] = {
        "leave_one_out": leave_one_out,
        "global_time": global_time,
        "none": everything,
    }
    return kinds[config.kind](data, config)


def leave_one_out(data: Logged, config: SplitConfig) -> Split:
    """Each user's last item is the test target, the one before it the validation target.

    The history of the test target includes the validation target. Users with fewer than three
    interactions are trained on whole.
    """
    log = data.log
    start, stop = log.offsets[:-1], log.offsets[1:]
    asked = np.flatnonzero(log.lengths >= FEWEST)
    known = np.where(log.lengths >= FEWEST, stop - 2, stop)
    return Split(
        log.slices(start, known),
        _cases(log, asked, stop[asked] - 2),
        _cases(log, asked, stop[asked] - 1),
    )


def global_time(data: Logged, config: SplitConfig) -> Split:
    """Everybody's log is cut at the same two moments: nothing from the future is trained on.

    The moments are those at which ``1 - validation_fraction - test_fraction`` and
    ``1 - test_fraction`` of all interactions have passed; an interaction at the very moment of a
    cut lies behind it. Train is what lies before the first cut. A user's validation target is
    the first item between the cuts, the test target the first behind the second cut; its history
    is everything that the user took before it, held-out items included. Users who had taken
    nothing before the target are left out, since there is nothing to go by; later items of the
    same user are not asked for.

    Raises
    ------
    DataError
        If the log has no moments, or all of it lies behind the first cut.
    """
    if data.times is None:
        raise DataError(
            "split global_time: found no column 'timestamp' in the interactions, expected one"
            " (or split.kind=leave_one_out, which goes by the file's order)"
        )
    log, ordered = data.log, np.sort(data.times)
    held = config.validation_fraction + config.test_fraction
    first, second = (
        ordered[min(len(ordered) - 1, round(len(ordered) * (1 - part)))]
        for part in (held, config.test_fraction)
    )
    if first == ordered[0]:
        raise DataError(
            f"split global_time: found nothing before {np.datetime64(int(first), 's')}, where the"
            f" last {held:.0%} of interactions begin, expected moments that differ"
        )
    start, stop = log.offsets[:-1], log.offsets[1:]
    at_first, at_second = (start + _before(data.times, log, cut) for cut in (first, second))
    asked = (log.lengths >= FEWEST) & (at_first > start)
    validation = np.flatnonzero(asked & (at_first < at_second))
    asked = (log.lengths >= FEWEST) & (at_second > start)
    test = np.flatnonzero(asked & (at_second < stop))
    return Split(
        log.slices(start, at_first),
        _cases(log, validation, at_first[validation]),
        _cases(log, test, at_second[test]),
    )


def everything(data: Logged, config: SplitConfig) -> Split:
    """Everything trains; there is nothing to choose by and nothing to report."""
    nobody = np.empty(0, np.int64)
    none = _cases(data.log, nobody, nobody)
    return Split(data.log, none, none)


def _cases(log: Sequences, users: NDArray[np.int64], target: NDArray[np.int64]) -> Cases:
    """Ask for ``log.items[target]``, both [cases], after all that its user took before."""
    return Cases(users, log.slices(log.offsets[users], target), log.items[target])


def _before(times: NDArray[np.int64], log: Sequences, moment: np.int64) -> NDArray[np.int64]:
    """Return int64 [users]: how many of each user's interactions lie before a moment."""
    passed = np.zeros(len(times) + 1, np.int64)
    np.cumsum(times < moment, out=passed[1:])
    return np.diff(passed[log.offsets])
