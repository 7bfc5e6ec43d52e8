"""The rows of a comparison before they are measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

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
