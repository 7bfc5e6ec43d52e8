"""A given history: what the catalogue knows of what somebody took."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mgrec.catalogue import Catalogue
from mgrec.requests import ItemId
from mgrec.users import Users


@dataclass(frozen=True, eq=False)
class Given:
    """A history in item indices.

    Attributes
    ----------
    items : int64 [n], oldest first; empty where nothing is known
    reason : how an answer will be found, in words
    """

    items: NDArray[np.int64]
    reason: str


def given(
    catalogue: Catalogue, users: Users, history: Iterable[ItemId] | None, user: ItemId | None
) -> Given:
    """Look up a history by item ids, or else a user's in the log."""
    if history is None:
        row = users.row(user)
        if row is None:
            return Given(np.empty(0, np.int64), f"user {user!r} is unknown: popular items")
        found = users.log[row].astype(np.int64)
        if not len(found):
            return Given(found, f"no item of user {user!r} is in the catalogue: popular items")
        return Given(found, "generated from the user's log")
    found = catalogue.index_of(history)
    known = found[found >= 0]
    if not len(found):
        return Given(known, "the history is empty: popular items")
    if not len(known):
        return Given(known, "no item of the history is in the catalogue: popular items")
    missing = len(found) - len(known)
    passed = f"; {missing} unknown items of it passed over" if missing else ""
    return Given(known, f"generated from the history{passed}")
