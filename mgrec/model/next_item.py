"""Sequence training: predicting the next item of a history."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mgrec.configs import TrainingConfig
from mgrec.data.sequences import Sequences
from mgrec.model.alignment import Alignment
from mgrec.model.decoder import Context
from mgrec.model.device import where
from mgrec.model.generator import Generator
from mgrec.model.teacher import Teacher


class NextItem:
    """The task of both families.

    The default one reads a window of a user's history once and is trained at each of its
    positions; the paper's reads the history before every single target anew (sliding windows).

    Parameters
    ----------
    train : one row a user
    auxiliary : alignment kept on during sequence training, with its weight; or None
    teacher : of this log, draws some of the targets; None takes all of them from the log
    """

    name = "training"

    def __init__(
        self,
        generator: Generator,
        train: Sequences,
        config: TrainingConfig,
        seed: int,
        auxiliary: tuple[Alignment, float] | None = None,
        teacher: Teacher | None = None,
    ) -> None:
        self.generator, self.seed = generator, seed
        self.places = Sequences(train.offsets, np.arange(len(train.items), dtype=np.int32))
        device = where(generator)
        self.items = torch.from_numpy(train.items).long().to(device)
        self.targets, self.auxiliary = config.targets, auxiliary
        self.teacher = None if teacher is None else teacher.to(device)
        # An auxiliary alignment holds the generator, and parameters of its own to train.
        self.module: nn.Module = generator if auxiliary is None else auxiliary[0]
        self.every = generator.config.family == "default"

    def batches(self, epoch: int) -> Sequence[Tensor]:
        """Return int64 [rows, n] batches of windows, as places of the log, -1 for padding; the last
        place of each row is a target."""
        rng = np.random.default_rng([self.seed, epoch])
        if self.every:
            windows = tiled(self.places, self.generator.config.history, rng)
            return bucketed(windows, windows.lengths - 1, self.targets, rng)
        windows = sliding(self.places, self.generator.config.history)
        return bucketed(windows, np.ones(len(windows), np.int64), self.targets, rng)

    def loss(self, batch: Tensor) -> Tensor:
        """Return the mean negative log-probability a target, and what is trained beside it."""
        model = self.generator
        context, items = self._every(batch) if self.every else self._last(batch)
        loss = -model.log_prob(context, items).mean()
        if model.experts is not None and model.experts.shared:
            loss = loss + model.experts.loss(context.start, items)
        if self.auxiliary is not None:
            alignment, weight = self.auxiliary
            loss = loss + weight * alignment.loss(alignment.sample(items))
        return loss

    def _every(self, batch: Tensor) -> tuple[Context, Tensor]:
        """Every position of a window is the context of the item after it."""
        real = batch[:, 1:] >= 0
        states = self.generator.states(self.items_at(batch[:, :-1]))
        return Context(states[real]), self._after(batch, real)

    def _last(self, batch: Tensor) -> tuple[Context, Tensor]:
        """The items before a window's last one are the context of it."""
        last = (batch >= 0).sum(1, keepdim=True) - 1
        history = batch.scatter(1, last, -1)[:, : int(last.max())]
        wanted = torch.zeros_like(batch[:, 1:], dtype=torch.bool).scatter_(1, last - 1, True)
        return self.generator.context(self.items_at(history)), self._after(batch, wanted)

    def _after(self, batch: Tensor, wanted: Tensor) -> Tensor:
        """Return int64 [wanted]: what is learned behind some places, bool [rows, n - 1]."""
        places = batch[:, 1:][wanted]
        items = self.items_at(places)
        return items if self.teacher is None else self.teacher.targets(places, items)

    def items_at(self, places: Tensor) -> Tensor:
        """Return int64 [...]: the items at places of the log, -1 where there is none."""
        return self.items[places.clamp(min=0)].masked_fill(places < 0, -1)


def tiled(train: Sequences, history: int, rng: np.random.Generator) -> Sequences:
    """Cut histories into windows of ``history + 1`` items that share one item with the next.

    Every item but a user's first is a target once. Where the cuts fall changes with `rng`.
    """
    targets = np.maximum(train.lengths - 1, 0)
    shift = np.where(targets > history, rng.integers(0, history, len(train)), 0)
    count = -(-(targets + shift) // history)
    user = np.repeat(np.arange(len(train)), count)
    within = np.arange(len(user)) - np.repeat(np.cumsum(count) - count, count)
    begin = train.offsets[user] + np.maximum(within * history - shift[user], 0)
    end = train.offsets[user] + np.minimum((within + 1) * history - shift[user], targets[user])
    windows = train.slices(begin, end + 1)
    return windows.select(np.flatnonzero(windows.lengths > 1))


def sliding(train: Sequences, history: int) -> Sequences:
    """Return, for every item but a user's first, it and at most `history` items before it."""
    begin = np.repeat(train.offsets[:-1], train.lengths)
    at = np.arange(len(train.items))
    target = at[at > begin]
    return train.slices(np.maximum(begin[target], target - history), target + 1)


def bucketed(
    windows: Sequences, targets: NDArray[np.int64], most: int, rng: np.random.Generator
) -> list[Tensor]:
    """Batch windows of like length, about `most` targets a batch, in random order.

    Parameters
    ----------
    targets : int64 [windows], targets in each
    """
    # A little noise in the sort keeps the same windows from meeting in every epoch.
    order = np.lexsort([rng.random(len(windows)), windows.lengths + 2 * rng.random(len(windows))])
    group = np.cumsum(targets[order]) // most
    cuts = np.flatnonzero(np.diff(group)) + 1
    parts = np.split(order, cuts)
    rng.shuffle(parts)
    return [torch.from_numpy(windows.select(rows).padded()) for rows in parts if len(rows)]
