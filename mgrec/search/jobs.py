"""Jobs: searches with a filter, a width and a number of answers of their own, run together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from mgrec.configs import SearchConfig
from mgrec.data.sequences import Sequences
from mgrec.ids.filters import Filter
from mgrec.ids.kept import Kept
from mgrec.model.generator import Generator
from mgrec.search.ranking import bounded_top

MASKS = 1 << 26  # bytes that the masks of one batch may take a level, side by side


@dataclass(frozen=True, eq=False)
class Job:
    """One search.

    Attributes
    ----------
    history : int64 [n], item indices, oldest first, at least one
    k : the most items found
    beams : prefixes kept
    kept : the items allowed; None: all
    excluded : int64 [m], further items not allowed
    """

    history: NDArray[np.int64]
    k: int
    beams: int
    kept: Kept | None
    excluded: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Result:
    """What a job has found.

    Attributes
    ----------
    items : int64 [at most k], best first
    scores : float32 [as many]
    certain : how many of them, from the first on, no other allowed item can be better than
    """

    items: NDArray[np.int64]
    scores: NDArray[np.float32]
    certain: int


def run(model: Generator, jobs: Sequence[Job], config: SearchConfig) -> list[Result]:
    """Run jobs; each result is independent of the other jobs, up to rounding of scores: a batch has
    one width."""
    found: dict[int, Result] = {}
    for rows in _batches(model, jobs):
        all_items, all_scores, bounds = _run(model, [jobs[row] for row in rows], config)
        for row, items, scores, bound in zip(rows, all_items, all_scores, bounds, strict=True):
            n = int((items[: jobs[row].k] >= 0).sum())
            found[row] = Result(items[:n], scores[:n], int((scores[:n] >= bound).sum()))
    return [found[row] for row in range(len(jobs))]


def _batches(model: Generator, jobs: Sequence[Job]) -> list[list[int]]:
    """Return jobs that are searched together: of one width, and with not too many masks."""
    widths: dict[int, list[int]] = defaultdict(list)
    for row, job in enumerate(jobs):
        widths[max(job.beams, job.k)].append(row)
    most = max(1, MASKS // model.trie.n_items)
    batches = []
    for rows in widths.values():
        batch: list[int] = []
        masks: set[int] = set()
        for row in rows:
            masks.add(id(jobs[row].kept))
            if len(masks) > most:
                batches.append(batch)
                batch, masks = [], {id(jobs[row].kept)}
            batch.append(row)
        batches.append(batch)
    return batches


def _run(
    model: Generator, jobs: Sequence[Job], config: SearchConfig
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
    """Search for jobs of one width; items and scores [jobs, the largest k], bounds [jobs]."""
    trie = model.trie
    some = any(job.kept is not None for job in jobs)
    all_kept = any(job.kept is None for job in jobs) and some
    everything = Kept.of(trie, torch.ones(trie.n_items, dtype=torch.bool)) if all_kept else None
    kept = [everything if job.kept is None else job.kept for job in jobs]
    excluded = torch.from_numpy(Sequences.of([job.excluded for job in jobs]).padded())

    def allow(rows: NDArray[np.int64]) -> Filter | None:
        masks = [mask for row in rows if (mask := kept[row]) is not None]
        return Filter.of(trie, masks or None, excluded[torch.from_numpy(rows)])

    return bounded_top(
        model,
        Sequences.of([job.history for job in jobs]),
        max(job.k for job in jobs),
        max(max(job.beams, job.k) for job in jobs),
        config,
        allow if some or excluded.numel() else lambda rows: None,
    )
