"""Answering: from requests to recommended items, all of them searched for together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mgrec.answers import Recommendation, Recommendations
from mgrec.catalogue import Catalogue
from mgrec.questions import Question, question
from mgrec.requests import Request
from mgrec.search.jobs import Job, Result, run
from mgrec.variety import Selected

if TYPE_CHECKING:
    from mgrec.recommender import Recommender

# A search with filters is widened until no allowed item can be better than what it has found.
FIRST, WIDER, WIDEST = 100, 4, 4096  # beams to begin with, times so many, and at most


@dataclass(eq=False)
class Attempt:
    """A question on its way to an answer.

    Attributes
    ----------
    asked : the question, from which goes out what a selection has passed over
    beams : of the next search
    selected : the selection so far, where there is a limit to it
    items, scores : the answer, best first
    exact : whether no allowed item that the answer lacks can be better than one that it has
    done : whether this is the answer
    """

    asked: Question
    beams: int
    selected: Selected | None
    items: NDArray[np.int64]
    scores: NDArray[np.float32]
    exact: bool = True
    done: bool = False

    @classmethod
    def at(cls, recommender: Recommender, request: Request) -> Attempt:
        """Begin with a request."""
        asked = question(recommender, request)
        beams = request.beams or recommender.recipe.search.beams
        limits = request.max_per
        selected = Selected.none(limits, recommender.values, request.k) if limits else None
        nothing = np.empty(0, np.int64), np.empty(0, np.float32)
        attempt = cls(asked, max(beams, FIRST) if request.filters else beams, selected, *nothing)
        attempt.done = not asked.n_allowed
        return attempt

    @property
    def k(self) -> int:
        """How many items the next search is to find."""
        wanted = self.asked.request.k if self.selected is None else self.beams
        return min(wanted, self.asked.n_allowed)

    @property
    def widest(self) -> bool:
        """Whether more beams would not be taken, or find no more."""
        return self.beams >= min(WIDEST, self.asked.n_allowed)

    def take(self, recommender: Recommender, result: Result) -> None:
        """Take in what a search has found, and decide how to go on."""
        certain = result.certain >= min(1 if self.selected else self.k, len(result.items))
        if self.asked.request.filters and not certain and not self.widest:
            self.beams = min(WIDER * self.beams, WIDEST)
        elif self.selected is None:
            self.items, self.scores, self.done = result.items, result.scores, True
            self.exact = certain
        else:
            # Of what is certain nothing is missing between, and greed may go on with it.
            n = result.certain if certain else len(result.items)
            self.selected.take(result.items[:n], result.scores[:n])
            self.items, self.scores = self.selected.best()
            self.exact &= certain
            self.done = self.selected.full
            if not self.done:
                self.asked = self.asked.without(recommender.model.trie, self.selected.blocked)
                self.done = not self.asked.n_allowed


def popular(
    recommender: Recommender, k: int, keep: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the k most popular items, of those that bool [items] keeps, and their scores.

    Scores are those of a model whose generator and experts follow popularity, on the scale
    of other answers.
    """
    items, logs = recommender.popularity.best(k, keep)
    return items, logs * np.float32(recommender.model.weights)


def answer(recommender: Recommender, requests: Sequence[Request]) -> list[Recommendations]:
    """Answer every request; each answer is what it would be alone, scores to float32 rounding.

    Raises
    ------
    RequestError
        If one of them does not fit the catalogue.
    """
    attempts = [Attempt.at(recommender, request) for request in requests]
    while waiting := [attempt for attempt in attempts if not attempt.done]:
        for attempt, result in zip(waiting, _search(recommender, waiting), strict=True):
            attempt.take(recommender, result)
    return [_answer(recommender.catalogue, attempt) for attempt in attempts]


def _answer(catalogue: Catalogue, attempt: Attempt) -> Recommendations:
    given = attempt.asked.given
    return Recommendations(
        items=named(catalogue, attempt.items, attempt.scores),
        known=len(given.items),
        reason=given.reason if len(attempt.items) else "no item of the catalogue is allowed",
        exact=attempt.exact,
    )


def _search(recommender: Recommender, attempts: Sequence[Attempt]) -> list[Result]:
    """Search once for each, and look up popular items where there is no history."""
    found: dict[int, Result] = {}
    jobs: dict[int, Job] = {}
    for place, attempt in enumerate(attempts):
        asked, k = attempt.asked, attempt.k
        if len(asked.given.items):
            kept = None if asked.allowed is None else asked.allowed.kept
            jobs[place] = Job(asked.given.items, k, attempt.beams, kept, asked.excluded)
        else:
            best = popular(recommender, k, asked.keep(recommender.catalogue.n_items))
            found[place] = Result(*best, certain=k)
    answers = run(recommender.model, list(jobs.values()), recommender.recipe.search)
    found |= dict(zip(jobs, answers, strict=True))
    return [found[place] for place in range(len(attempts))]


def named(
    catalogue: Catalogue, items: NDArray[np.int64], scores: NDArray[np.float32]
) -> tuple[Recommendation, ...]:
    """Return found items by their own ids."""
    pairs = zip(items.tolist(), scores.tolist(), strict=True)
    return tuple(Recommendation(catalogue.item_ids[item], score) for item, score in pairs)
