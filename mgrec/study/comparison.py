"""Rows side by side: means over seeds, intervals over users, paired tests with Holm's correction.

Several seeds enter as one: every user's metric is averaged over the seeds, and intervals, tests and
slices are of those averages. So a test asks whether rows differ for other users, with these seeds,
those that both rows have; rows that one of the seeds ranks the other way round are not told apart,
whatever the users say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from mgrec.measure.evaluation import SLICED
from mgrec.measure.intervals import Interval, Paired, bootstrap, holm, paired
from mgrec.measure.metrics import COLUMNS, per_user
from mgrec.study.claims import Judged
from mgrec.study.grid import Point
from mgrec.study.members import HEADLINE, LEVEL, Member
from mgrec.study.outcomes import Cost
from mgrec.study.parts import Kind

Users = Mapping[int | None, NDArray[np.float64]]  # by seed: [cases, metrics]


@dataclass(frozen=True)
class Tested:
    """A row minus the reference, over the seeds that both have, or all where they share none: the
    difference, p, p corrected for all rows of the table, and whether the difference has the same
    sign with every seed."""

    difference: Interval
    p: float
    corrected: float
    steady: bool

    @property
    def verdict(self) -> str:
        """``better``, ``worse`` or ``not told apart``."""
        if not (self.corrected < LEVEL and self.steady):
            return "not told apart"
        return "better" if self.difference.value > 0 else "worse"


@dataclass(frozen=True)
class Line:
    """A measured row.

    Attributes
    ----------
    metrics : every column, mean over seeds and users, interval over users
    slices : metric -> slice -> interval
    by_seed : NDCG@10 of each seed
    cost : means over seeds
    test : against the reference; None for the reference itself
    """

    name: str
    kind: Kind
    what: str
    made: str
    metrics: Mapping[str, Interval]
    slices: Mapping[str, Mapping[str, Interval]]
    by_seed: tuple[float, ...]
    wanted: int
    cost: Cost
    notes: str = ""
    test: Tested | None = None
    point: Point | None = None
    headline: bool = True

    @property
    def spread(self) -> float:
        """Standard deviation of NDCG@10 between seeds; NaN for one."""
        return float(np.std(self.by_seed, ddof=1)) if len(self.by_seed) > 1 else float("nan")


@dataclass(frozen=True)
class Standing:
    """One table: all rows under one protocol."""

    exclude_seen: bool
    protocol: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Comparison:
    """Everything that a comparison has to say.

    Attributes
    ----------
    reference : the row that the others are tested against
    standings : nothing filtered first; with seen items left out, if asked for
    cases : how many are in each slice
    absent : rows that do not apply, and why
    waiting : runs that are not done yet
    facts : of the data
    card : what it takes to do it again
    dataset : whose published figures stand beside, if any
    claims : the paper's claims of every strategy that has rows to judge them by
    """

    reference: str
    standings: tuple[Standing, ...]
    cases: Mapping[str, int]
    absent: Mapping[str, str] = field(default_factory=dict)
    waiting: tuple[str, ...] = ()
    facts: Mapping[str, str | int | float] = field(default_factory=dict)
    card: Mapping[str, str] = field(default_factory=dict)
    dataset: str | None = None
    claims: tuple[Judged, ...] = ()


def standing(
    members: Sequence[Member],
    reference: str,
    slices: Mapping[str, NDArray[np.bool_]],
    exclude_seen: bool,
    protocol: str,
) -> Standing:
    """Measure and test all rows that have a run under a protocol."""
    users = {member.name: _by_seed(member, exclude_seen) for member in members}
    there = [member for member in members if users[member.name]]
    lines = [_line(member, users[member.name], slices, exclude_seen) for member in there]
    ours = users.get(reference)
    if not ours:
        return Standing(exclude_seen, protocol, tuple(lines))
    others = [member.name for member in there if member.name != reference]
    found = {name: tested(users[name], ours) for name in others}
    corrected = holm([test.p for test, _ in found.values()])
    tests = {
        name: Tested(test.difference, test.p, p, steady)
        for (name, (test, steady)), p in zip(found.items(), corrected, strict=True)
    }
    return Standing(
        exclude_seen,
        protocol,
        tuple(replace(line, test=tests.get(line.name)) for line in lines),
    )


def tested(ours: Users, theirs: Users) -> tuple[Paired, bool]:
    """Test one row against another, and say whether they differ the same way with every seed.

    Seeds that only one of them has are left out, since they would decide the sign where they are
    better or worse than the rest. Rows without a seed in common, as a baseline that has none, are
    tested with all of theirs, and every one compared with every one.
    """
    common = [seed for seed in ours if seed in theirs]
    column = COLUMNS.index(HEADLINE)
    one, other = (
        {seed: users[seed][:, column] for seed in common or users} for users in (ours, theirs)
    )
    test = paired(np.mean(list(one.values()), axis=0), np.mean(list(other.values()), axis=0))
    pairs = zip(common, common, strict=True) if common else product(one, other)
    signs = {np.sign(one[a].mean() - other[b].mean()) for a, b in pairs}
    return test, len(signs) == 1


def _by_seed(member: Member, exclude_seen: bool) -> Users:
    """Return every metric of every user for each seed that has a run."""
    return {
        seed: per_user(outcome.ranks[exclude_seen])
        for seed, outcome in member.outcomes.items()
        if exclude_seen in outcome.ranks
    }


def _line(
    member: Member,
    by_seed: Users,
    slices: Mapping[str, NDArray[np.bool_]],
    exclude_seen: bool,
) -> Line:
    done = [o for o in member.outcomes.values() if exclude_seen in o.ranks]
    users = np.mean(list(by_seed.values()), axis=0)  # [cases, metrics]
    headline = COLUMNS.index(HEADLINE)
    wanted = [COLUMNS.index(name) for name in SLICED]
    parts = {name: bootstrap(users[mask][:, wanted]) for name, mask in slices.items()}
    return Line(
        name=member.name,
        kind=member.kind,
        what=member.what,
        made=member.made,
        metrics=dict(zip(COLUMNS, bootstrap(users), strict=True)),
        slices={
            metric: {name: found[n] for name, found in parts.items()}
            for n, metric in enumerate(SLICED)
        },
        by_seed=tuple(float(values[:, headline].mean()) for values in by_seed.values()),
        wanted=member.wanted,
        cost=_mean_cost([o.cost for o in done]),
        notes=done[0].notes,
        point=member.point,
        headline=member.headline,
    )


def _mean_cost(costs: Sequence[Cost]) -> Cost:
    def mean(values: list[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return float(np.mean(known)) if known else None

    return Cost(
        costs[0].parameters,
        mean([cost.seconds for cost in costs]),
        mean([cost.users_per_second for cost in costs]),
    )
