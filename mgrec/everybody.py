"""Everybody: many histories ranked at once, and all users' answers in one file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from mgrec.answering import WIDER, popular
from mgrec.batches import parquet_of
from mgrec.data.sequences import Sequences
from mgrec.errors import RequestError
from mgrec.files import check_file
from mgrec.ids.filters import Filter
from mgrec.progress import bar, say
from mgrec.requests import check_number
from mgrec.search.ranking import bounded_top

if TYPE_CHECKING:
    from mgrec.recommender import Recommender

CHUNK = 4096  # users ranked between two writes
Searched = tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]
WIDEST = 400  # maximum beams when seen items are left out


def rank(
    recommender: Recommender, history: Sequences, k: int, exclude_seen: bool
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return int64 and float32 [rows, k]: the best items of every history, and their scores.

    With `exclude_seen` a row is searched again with more beams, up to `WIDEST`, until no other
    allowed item can be better.
    """
    model, search = recommender.model, recommender.recipe.search
    items = np.full((len(history), k), -1, np.int64)
    scores = np.full((len(history), k), -np.inf, np.float32)
    known = np.flatnonzero(history.lengths > 0)
    given = history.select(known)

    def searched(rows: NDArray[np.int64], beams: int) -> Searched:
        some = given.select(rows)

        def allow(at: NDArray[np.int64]) -> Filter | None:
            if not exclude_seen:
                return listed
            return Filter.of(model.trie, kept, torch.from_numpy(some.select(at).padded()))

        return bounded_top(model, some, wanted, beams, search, allow)

    kept = None if recommender.listed is None else recommender.listed.kept
    listed = None if kept is None else Filter.of(model.trie, kept)
    wanted = min(k, recommender.n_listed)
    beams, left = max(search.beams, wanted), np.arange(len(known))  # rows of `given`
    while len(left):
        found, best, bound = searched(left, beams)
        items[known[left], :wanted], scores[known[left], :wanted] = found, best
        if not exclude_seen or beams >= min(WIDEST, recommender.n_listed):
            break
        left = left[(best < bound[:, None]).any(1)]
        beams = min(WIDER * beams, WIDEST)
    empty = np.flatnonzero(history.lengths == 0)
    favourites = popular(recommender, wanted, recommender.catalogue.listed)
    items[empty, :wanted], scores[empty, :wanted] = favourites
    return items, scores


def recommend_all(recommender: Recommender, path: Path, k: int, exclude_seen: bool) -> int:
    """Write every known user's best items to a Parquet file; return how many users there are.

    Raises
    ------
    RequestError
        If k is below 1, or the path is not a regular file.
    StorageError
        If the file cannot be written.
    """
    k = check_number("k", k)
    if path.is_dir():
        raise RequestError(f"{path}: found a folder, expected a file to write to")
    check_file(path)
    k = min(k, recommender.n_listed)
    ids, users = recommender.catalogue.items["item_id"], recommender.users
    say(f"ranking {len(users):,} users: {recommender.plan(k)}")

    def parts() -> Iterable[pl.DataFrame]:
        with bar("recommend", len(users), "users") as shown:
            for at in range(0, len(users), CHUNK):
                rows = np.arange(at, min(at + CHUNK, len(users)))
                found, scores = rank(recommender, users.log.select(rows), k, exclude_seen)
                real = found >= 0
                yield pl.DataFrame(
                    {
                        "user_id": users.ids.gather(np.repeat(rows, real.sum(1))),
                        "rank": (np.nonzero(real)[1] + 1).astype(np.int32),
                        "item_id": ids.gather(found[real]),
                        "score": scores[real],
                    }
                )
                shown.advance(len(rows))

    parquet_of(parts(), path)
    return len(users)
