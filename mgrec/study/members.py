"""The rows of a comparison before they are measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mgrec.measure.metrics import metric
from mgrec.measure.noise import Scores
from mgrec.study.grid import Point
from mgrec.study.outcomes import Outcome
from mgrec.study.parts import Kind

HEADLINE = "NDCG@10"
LEVEL = 0.05  # of a corrected p, below which a difference is called one


@dataclass(frozen=True)
class Member:
    """A row before it is measured: its runs that are done, of those that are wanted.

    Attributes
    ----------
    what : of the row, in a sentence for somebody who has not read the paper
    made : with which content, history, loss, in words for somebody who has
    outcomes : by seed; a row without chance in it has one, under None
    wanted : how many there will be
    headline : whether it is a row by itself, and not a variant of another
    """

    name: str
    kind: Kind
    what: str
    made: str
    outcomes: Mapping[int | None, Outcome]
    wanted: int = 1
    point: Point | None = None
    headline: bool = True

    def ranks(self, exclude_seen: bool = False) -> dict[int | None, NDArray[np.int64]]:
        """Return the targets' ranks by seed, of the runs measured under a protocol."""
        return {
            seed: outcome.ranks[exclude_seen]
            for seed, outcome in self.outcomes.items()
            if exclude_seen in outcome.ranks
        }

    def scores(self, exclude_seen: bool = False) -> Scores:
        """Return every user's headline metric with each run; there must be one."""
        ranks = self.ranks(exclude_seen)
        return Scores(np.stack([metric(r, HEADLINE) for r in ranks.values()]), None not in ranks)
