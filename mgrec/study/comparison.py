"""Rows side by side: means over seeds, intervals, tests with Holm's correction.

Several seeds enter as one: every user's metric is averaged over the seeds, and a row's intervals
and slices are of those averages. Tests between rows count both, other users and other seeds
(`mgrec.measure.noise`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from mgrec.measure.evaluation import SLICED
from mgrec.measure.intervals import Interval, bootstrap, holm
from mgrec.measure.metrics import COLUMNS, per_user
from mgrec.measure.noise import Noise, difference
from mgrec.study.claims import Judged
from mgrec.study.grid import Point
from mgrec.study.members import LEVEL, Member
from mgrec.study.outcomes import Cost
from mgrec.study.parts import Kind


@dataclass(frozen=True)
class Tested:
    """A row minus the reference: the difference, p, and p corrected for all rows of the table."""

    difference: Interval
    p: float
    corrected: float

    @property
    def verdict(self) -> str:
        """``better``, ``worse`` or ``not told apart``."""
        if not self.corrected < LEVEL:
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
    """One table: all rows under one protocol, and how far seeds move them."""

    exclude_seen: bool
    protocol: str
    lines: tuple[Line, ...]
    noise: Noise


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
    there = [member for member in members if member.ranks(exclude_seen)]
    scores = {member.name: member.scores(exclude_seen) for member in there}
    noise = Noise.of(scores.values())
    lines = [_line(member, scores[member.name].by_run, slices, exclude_seen) for member in there]
    if reference in scores:
        ours = scores.pop(reference)
        found = {name: difference(row, ours, noise) for name, row in scores.items()}
        corrected = holm([test.p for test in found.values()])
        tests = {
            name: Tested(test.difference, test.p, p)
            for (name, test), p in zip(found.items(), corrected, strict=True)
        }
        lines = [replace(line, test=tests.get(line.name)) for line in lines]
    return Standing(exclude_seen, protocol, tuple(lines), noise)


def _line(
    member: Member,
    by_seed: tuple[float, ...],
    slices: Mapping[str, NDArray[np.bool_]],
    exclude_seen: bool,
) -> Line:
    ranks = member.ranks(exclude_seen)
    users = np.mean([per_user(found) for found in ranks.values()], axis=0)  # [cases, metrics]
    done = [member.outcomes[seed] for seed in ranks]
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
        by_seed=by_seed,
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
