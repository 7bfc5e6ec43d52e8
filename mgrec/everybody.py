"""Everybody: many histories ranked at once, and all users' answers in one file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from mgrec.batches import parquet_of
from mgrec.data.sequences import Sequences
from mgrec.errors import RequestError
from mgrec.ids.filters import Filter
from mgrec.progress import bar, say
from mgrec.requests import check_number
from mgrec.search.ranking import top

if TYPE_CHECKING:
    from mgrec.recommender import Recommender

CHUNK = 4096  # users ranked between two writes


def rank(
    recommender: Recommender, history: Sequences, k: int, exclude_seen: bool
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return int64 and float32 [rows, k]: the best items of every history, and their scores."""
    model = recommender.model
    items = np.full((len(history), k), -1, np.int64)
    scores = np.full((len(history), k), -np.inf, np.float32)
    known = np.flatnonzero(history.lengths > 0)
    given = history.select(known)

    def unseen(rows: NDArray[np.int64]) -> Filter:
        seen = torch.from_numpy(given.select(rows).padded())
        return Filter.of(model.trie, kept, seen)

    kept = None if recommender.listed is None else recommender.listed.kept
    listed = None if kept is None else Filter.of(model.trie, kept)
    wanted = min(k, recommender.n_listed)
    if len(known):
        search = recommender.recipe.search
        allow = unseen if exclude_seen else lambda rows: listed
        found = top(model, given, wanted, max(search.beams, wanted), search, allow)
        items[known, :wanted], scores[known, :wanted] = found
    empty = np.flatnonzero(history.lengths == 0)
    best = recommender.popularity.best(wanted, recommender.catalogue.listed)
    items[empty, :wanted], scores[empty, :wanted] = best
    return items, scores


def recommend_all(recommender: Recommender, path: Path, k: int, exclude_seen: bool) -> int:
    """Write every known user's best items to a Parquet file; return how many users there are.

    Raises
    ------
    RequestError
        If k is below 1, or the path is a folder.
    """
    k = check_number("k", k)
    if path.is_dir():
        raise RequestError(f"{path}: found a folder, expected a file to write to")
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
