"""Jobs: searches with a filter, a width and a number of answers of their own, run together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from mgrec.data.sequences import Sequences
from mgrec.ids.filters import Filter
from mgrec.ids.kept import Kept
from mgrec.model.generator import Generator
from mgrec.recipe import SearchConfig
from mgrec.search.ranking import top

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


def run(
    model: Generator, jobs: Sequence[Job], config: SearchConfig
) -> list[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Return each job's items, int64 [at most k], best first, with their scores.

    What a job finds does not depend on those beside it: batches are of one width.
    """
    found: dict[int, tuple[NDArray[np.int64], NDArray[np.float32]]] = {}
    for rows in _batches(model, jobs):
        batch = [jobs[row] for row in rows]
        items, scores = _run(model, batch, config)
        for place, row in enumerate(rows):
            real = items[place, : jobs[row].k] >= 0
            found[row] = items[place, : len(real)][real], scores[place, : len(real)][real]
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
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Search for jobs of one width; int64 and float32 [jobs, the largest k]."""
    trie = model.trie
    some = any(job.kept is not None for job in jobs)
    all_kept = any(job.kept is None for job in jobs) and some
    everything = Kept.of(trie, torch.ones(trie.n_items, dtype=torch.bool)) if all_kept else None
    kept = [everything if job.kept is None else job.kept for job in jobs]
    excluded = torch.from_numpy(Sequences.of([job.excluded for job in jobs]).padded())

    def allow(rows: NDArray[np.int64]) -> Filter | None:
        masks = [mask for row in rows if (mask := kept[row]) is not None]
        return Filter.of(trie, masks or None, excluded[torch.from_numpy(rows)])

    return top(
        model,
        Sequences.of([job.history for job in jobs]),
        max(job.k for job in jobs),
        max(max(job.beams, job.k) for job in jobs),
        config,
        allow if some or excluded.numel() else lambda rows: None,
    )
