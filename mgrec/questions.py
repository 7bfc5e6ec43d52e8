"""A question: a request in item indices, and what of the catalogue it leaves."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mgrec.catalogue import Catalogue
from mgrec.given import Given, given
from mgrec.ids.trie import Trie
from mgrec.requests import ItemId, Request
from mgrec.selection import Selection

if TYPE_CHECKING:
    from mgrec.recommender import Recommender

BY_NAME = 256  # excluded items up to here are sought by name; more are counted along the leaves


@dataclass(frozen=True, eq=False)
class Question:
    """A request as the search reads it.

    Attributes
    ----------
    allowed : the items of the catalogue that `only` and `where` allow; None: all
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

    def without(self, trie: Trie, blocked: NDArray[np.bool_]) -> Question:
        """Return the question with the items of bool [items] left out as well."""
        left = Selection.of(trie, self.keep(trie.n_items) & ~blocked)
        return replace(self, allowed=left, excluded=self.excluded[:0], n_allowed=left.kept.n_items)


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
    allowed = recommender.listed if request.where is None else recommender.select(request.where)
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


def _known(catalogue: Catalogue, ids: Iterable[ItemId]) -> NDArray[np.int64]:
    """Return the indices of the items that the catalogue knows; others allow or exclude nothing."""
    found = catalogue.index_of(ids)
    return found[found >= 0]
