"""Answering: from requests to recommended items, all of them searched for together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mgrec.answers import Recommendation, Recommendations
from mgrec.catalogue import Catalogue
from mgrec.given import Given, given
from mgrec.requests import ItemId, Request
from mgrec.search.jobs import Job, run
from mgrec.selection import Selection
from mgrec.variety import Selected

if TYPE_CHECKING:
    from mgrec.recommender import Recommender

EXACT = 256  # so few allowed items are all scored, so that none better can be missed
BY_NAME = 256  # excluded items up to here are sought by name; more are counted along the leaves

Found = tuple[NDArray[np.int64], NDArray[np.float32]]  # items, best first, and their scores


@dataclass(frozen=True, eq=False)
class Question:
    """A request as the search reads it.

    Attributes
    ----------
    allowed : the items that `only` and `where` allow; None: all
    excluded : int64 [n], further items not allowed, each once, all of them allowed otherwise
    n_allowed : how many items are left
    """

    request: Request
    given: Given
    allowed: Selection | None
    excluded: NDArray[np.int64]
    n_allowed: int

    def keep(self, n_items: int) -> NDArray[np.bool_]:
        """Return bool [items]: all that is left."""
        keep = np.ones(n_items, bool) if self.allowed is None else self.allowed.keep.copy()
        keep[self.excluded] = False
        return keep


def answer(recommender: Recommender, requests: Sequence[Request]) -> list[Recommendations]:
    """Answer every request; each answer is what it would be alone.

    Raises
    ------
    RequestError
        If one of them does not fit the catalogue.
    """
    questions = [question(recommender, request) for request in requests]
    varied = {
        place: Selected.none(asked.request.max_per, recommender.values, asked.request.k)
        for place, asked in enumerate(questions)
        if asked.request.max_per
    }
    found: dict[int, Found] = {}
    waiting = list(range(len(questions)))
    while waiting:
        # A value that is used up is looked for no more: the search goes on beside it.
        rows = [(questions[place], varied.get(place)) for place in waiting]
        searched = zip(waiting, _search(recommender, rows), strict=True)
        waiting = []
        for place, (items, scores) in searched:
            if (selected := varied.get(place)) is None:
                found[place] = items, scores
                continue
            selected.take(items, scores)
            found[place] = selected.best()
            if len(items) and not selected.full:
                waiting.append(place)
    return [
        Recommendations(
            named(recommender.catalogue, *found[place]),
            len(asked.given.items),
            asked.given.reason if asked.n_allowed else "no item of the catalogue is allowed",
        )
        for place, asked in enumerate(questions)
    ]


def question(recommender: Recommender, request: Request) -> Question:
    """Look up what a request names.

    Raises
    ------
    RequestError
        If it does not fit the catalogue.
    """
    catalogue, trie = recommender.catalogue, recommender.model.trie
    history = given(catalogue, recommender.users, request.history, request.user)
    for name in request.max_per:
        recommender.values(name)
    allowed = None if request.where is None else recommender.select(request.where)
    excluded = np.unique(_known(catalogue, request.exclude))
    if request.exclude_seen:
        excluded = np.union1d(excluded, history.items)
    if request.only is not None:
        only = np.zeros(catalogue.n_items, bool)
        only[_known(catalogue, request.only)] = True
        allowed = Selection.of(trie, only if allowed is None else only & allowed.keep)
    if allowed is not None:
        excluded = excluded[allowed.keep[excluded]]
    if len(excluded) > BY_NAME:
        left = np.ones(catalogue.n_items, bool) if allowed is None else allowed.keep.copy()
        left[excluded] = False
        allowed, excluded = Selection.of(trie, left), excluded[:0]
    n_allowed = catalogue.n_items if allowed is None else allowed.kept.n_items
    return Question(request, history, allowed, excluded, n_allowed - len(excluded))


def _search(
    recommender: Recommender, rows: Sequence[tuple[Question, Selected | None]]
) -> list[Found]:
    """Search once for each question; for a selection, beside what is blocked for it."""
    found: dict[int, Found] = {}
    jobs: dict[int, Job] = {}
    for place, (asked, selected) in enumerate(rows):
        if selected is not None and selected.items:
            asked = _beside(recommender, asked, selected)
        beams = asked.request.beams or recommender.recipe.search.beams
        if asked.n_allowed <= EXACT and _filters(asked.request):
            beams = max(beams, EXACT)
        k = min(asked.request.k if selected is None else beams, asked.n_allowed)
        if not k:
            found[place] = np.empty(0, np.int64), np.empty(0, np.float32)
        elif len(asked.given.items):
            kept = None if asked.allowed is None else asked.allowed.kept
            jobs[place] = Job(asked.given.items, k, beams, kept, asked.excluded)
        else:
            found[place] = recommender.popularity.best(k, asked.keep(recommender.catalogue.n_items))
    answers = run(recommender.model, list(jobs.values()), recommender.recipe.search)
    found |= dict(zip(jobs, answers, strict=True))
    return [found[place] for place in range(len(rows))]


def _filters(request: Request) -> bool:
    """Whether a request is not the plain one, which is searched as all users together are."""
    named = request.only is not None or request.exclude
    return bool(named or request.where is not None or request.max_per)


def _beside(recommender: Recommender, asked: Question, selected: Selected) -> Question:
    """Return a question without what is blocked."""
    keep = asked.keep(recommender.catalogue.n_items) & ~selected.blocked
    left = Selection.of(recommender.model.trie, keep)
    return replace(asked, allowed=left, excluded=asked.excluded[:0], n_allowed=left.kept.n_items)


def named(
    catalogue: Catalogue, items: NDArray[np.int64], scores: NDArray[np.float32]
) -> tuple[Recommendation, ...]:
    """Return found items by their own ids."""
    ids = catalogue.items["item_id"].gather(items).to_list()
    return tuple(
        Recommendation(item, score) for item, score in zip(ids, scores.tolist(), strict=True)
    )


def _known(catalogue: Catalogue, ids: Iterable[ItemId]) -> NDArray[np.int64]:
    """Return the indices of the items that the catalogue knows; others allow or exclude nothing."""
    found = catalogue.index_of(ids)
    return found[found >= 0]
