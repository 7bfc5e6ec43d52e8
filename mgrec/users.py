"""The users of a recommender: who took what, in item indices of its catalogue."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mgrec.catalogue import Catalogue
from mgrec.data.dataset import Dataset
from mgrec.data.keys import key
from mgrec.data.sequences import Sequences
from mgrec.errors import DataError
from mgrec.progress import say


@dataclass(frozen=True, eq=False)
class Users:
    """A log, oldest first.

    Attributes
    ----------
    ids : the users' own ids; row = user index
    log : item indices
    times : int64 [interactions], unix seconds, or None
    """

    ids: pl.Series
    log: Sequences
    times: NDArray[np.int64] | None

    def __len__(self) -> int:
        return len(self.ids)

    def row(self, user: object) -> int | None:
        """Return a user's index, None where unknown."""
        return self._index.get(key(user, self.ids.dtype))

    @cached_property
    def _index(self) -> dict[object, int]:
        return {user: row for row, user in enumerate(self.ids.to_list())}


def users_of(data: Dataset, catalogue: Catalogue) -> Users:
    """Return a dataset's log in the catalogue's item indices.

    Items that the catalogue does not know are left out, aloud: a recommender that continues on
    new logs keeps its own catalogue.

    Raises
    ------
    DataError
        If the log has no item of the catalogue.
    """
    if data.items is catalogue.items:
        return Users(data.users, data.log, data.times)
    row = catalogue.index_of(data.items["item_id"].to_list())  # [items of the data]
    items = row[data.log.items]
    keep = items >= 0
    if not keep.any():
        raise DataError("log: found no item that the artifact knows, expected its catalogue")
    if not keep.all():
        say(
            f"log: {int((~keep).sum()):,} interactions with {int((row < 0).sum()):,} items that"
            " the artifact does not know were left out"
        )
    owner = np.repeat(np.arange(len(data.log)), data.log.lengths)[keep]
    lengths = np.bincount(owner, minlength=len(data.log))
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    times = None if data.times is None else data.times[keep]
    return Users(data.users, Sequences(offsets, items[keep].astype(np.int32)), times)
