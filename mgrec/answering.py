"""Answering: from requests to recommended items, all of them searched for together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from mgrec.answers import Recommendation, Recommendations
from mgrec.catalogue import Catalogue
from mgrec.errors import RequestError
from mgrec.given import Given, given
from mgrec.ids.kept import Kept
from mgrec.requests import ItemId, Request
from mgrec.search.jobs import Job, run

if TYPE_CHECKING:
    from mgrec.recommender import Recommender

BY_NAME = 256  # excluded items up to here are sought by name; more are counted along the leaves

Found = tuple[NDArray[np.int64], NDArray[np.float32]]  # items, best first, and their scores


@dataclass(frozen=True, eq=False)
class Question:
    """A request as the search reads it.

    Attributes
    ----------
    kept : the items of the catalogue that `only` and `where` allow; None: all
    keep : bool [items], the same as a mask
    excluded : int64 [n], further items not allowed, each once
    allowed : how many items are left
    """

    request: Request
    given: Given
    kept: Kept | None
    keep: NDArray[np.bool_] | None
    excluded: NDArray[np.int64]
    allowed: int

    def mask(self, n_items: int) -> NDArray[np.bool_]:
        """Return bool [items]: all that is allowed."""
        mask = np.ones(n_items, bool) if self.keep is None else self.keep.copy()
        mask[self.excluded] = False
        return mask


def answer(recommender: Recommender, requests: Sequence[Request]) -> list[Recommendations]:
    """Answer every request; each answer is what it would be alone.

    Raises
    ------
    RequestError
        If one of them does not fit the catalogue.
    """
    questions = [question(recommender, request) for request in requests]
    found = _found(recommender, questions)
    return [
        Recommendations(
            named(recommender.catalogue, *found[place]),
            len(asked.given.items),
            asked.given.reason if asked.allowed else "no item of the catalogue is allowed",
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
    catalogue = recommender.catalogue
    if request.where is not None or request.max_per:
        raise RequestError("where, max_per: not built yet")
    history = given(catalogue, recommender.users, request.history, request.user)
    excluded = _known(catalogue, request.exclude)
    if request.exclude_seen:
        excluded = np.concatenate([excluded, history.items])
    excluded = np.unique(excluded)
    kept = recommender.listed  # what was removed from the catalogue is never recommended
    keep: NDArray[np.bool_] | None = None if kept is None else catalogue.listed
    if request.only is not None:
        only = np.zeros(catalogue.n_items, bool)
        only[_known(catalogue, request.only)] = True
        keep, kept = only if keep is None else only & keep, None
    if keep is not None:
        excluded = excluded[keep[excluded]]
    if len(excluded) > BY_NAME:
        keep = np.ones(catalogue.n_items, bool) if keep is None else keep.copy()
        keep[excluded], excluded, kept = False, excluded[:0], None
    if keep is not None and kept is None:
        kept = Kept.of(recommender.model.trie, torch.from_numpy(keep))
    allowed = catalogue.n_items if kept is None else kept.n_items
    return Question(request, history, kept, keep, excluded, allowed - len(excluded))


def _found(recommender: Recommender, questions: Sequence[Question]) -> list[Found]:
    nothing = np.empty(0, np.int64), np.empty(0, np.float32)
    found: dict[int, Found] = {}
    jobs: dict[int, Job] = {}
    for place, asked in enumerate(questions):
        k = min(asked.request.k, asked.allowed)
        if not k:
            found[place] = nothing
        elif len(asked.given.items):
            beams = asked.request.beams or recommender.recipe.search.beams
            jobs[place] = Job(asked.given.items, k, beams, asked.kept, asked.excluded)
        else:
            found[place] = recommender.popularity.best(k, asked.mask(recommender.catalogue.n_items))
    answers = run(recommender.model, list(jobs.values()), recommender.recipe.search)
    found |= dict(zip(jobs, answers, strict=True))
    return [found[place] for place in range(len(questions))]


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
