"""An expert's training: the next item at every position, among a sample of the catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mgrec.configs import TrainingConfig
from mgrec.data.sequences import Sequences
from mgrec.model.device import where
from mgrec.model.experts import Expert
from mgrec.model.next_item import bucketed, tiled
from mgrec.model.products import exact_product

ROWS = 64  # of logits that a processor's cache holds


class NextName:
    """The task of an expert.

    The softmax runs over the batch's own items and `negatives` more, drawn anew at every step,
    each counted by the inverse of its chance to be there, so that the sum over the sample is, on
    average, the sum over the catalogue (sampled softmax, arXiv 1412.2007).

    Parameters
    ----------
    log : one row a user
    negatives : items drawn a step; 0 takes the whole catalogue
    """

    def __init__(
        self,
        module: Expert,
        log: Sequences,
        config: TrainingConfig,
        seed: int,
        *,
        negatives: int = 0,
        name: str = "expert",
    ) -> None:
        self.name = name
        self.module, self.log, self.targets, self.seed = module, log, config.targets, seed
        counts = np.bincount(log.items, minlength=module.n_items) / max(len(log.items), 1)
        self.share = torch.from_numpy(counts).float().to(where(module))  # [items], of the log
        self.drawn = min(1.0, negatives / module.n_items) if negatives else 1.0

    def batches(self, epoch: int) -> Sequence[Tensor]:
        """Return int64 [rows, n] batches of windows."""
        rng = np.random.default_rng([self.seed, epoch])
        windows = tiled(self.log, self.module.history, rng)
        return bucketed(windows, windows.lengths - 1, self.targets, rng)

    def loss(self, batch: Tensor) -> Tensor:
        """Return the mean cross-entropy a target."""
        targets = batch[:, 1:]
        real = targets >= 0
        states = self.module.states(batch[:, :-1])[real]
        items, chance = self.sample(batch)
        place = torch.full((self.module.n_items,), -1, device=batch.device)
        place[items] = torch.arange(len(items), device=batch.device)
        right = place[targets[real]]
        logits = exact_product(states, self.module.view(items))
        return sampled_cross_entropy(logits, right, chance.log())

    def sample(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """Return the items of a step, int64 [m], and the chance of each to be among them."""
        present = batch[batch >= 0]
        taken = torch.rand(self.module.n_items, device=batch.device) < self.drawn
        taken[present] = True
        items = taken.nonzero()[:, 0]
        # An item is missing where neither the draw nor any place of the batch holds it.
        missed = (1 - self.drawn) * torch.exp(-self.share[items] * len(present))
        return items, 1 - missed


class _SampledCrossEntropy(torch.autograd.Function):
    """Its gradient is worked out at once, some rows at a time.

    Passes over memory, not arithmetic, are what a softmax costs on a CPU.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, right: Tensor, log_chance: Tensor) -> Tensor:
        total, n = torch.zeros((), device=logits.device), len(right)
        gradient = torch.empty_like(logits)
        for at in range(0, n, ROWS):
            place = right[at : at + ROWS, None]
            part = logits[at : at + ROWS].float()
            score = part.gather(1, place)
            part.sub_(log_chance).scatter_(1, place, score)
            most = part.amax(1, keepdim=True)
            mass = part.sub_(most).exp_().sum(1, keepdim=True)
            total += (mass.log() + most - score).sum()
            part.div_(mass * n).scatter_add_(1, place, torch.full_like(score, -1 / n))
            gradient[at : at + ROWS] = part
        ctx.save_for_backward(gradient)
        return total / n

    @staticmethod
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * scale, None, None


def sampled_cross_entropy(logits: Tensor, right: Tensor, log_chance: Tensor) -> Tensor:
    """Return the mean cross-entropy over a sample of the classes, corrected for how it was drawn.

    Parameters
    ----------
    logits : [rows, m]
    right : int64 [rows], the true class, which is always in the sample and so counts once
    log_chance : float32 [m], of each class to be in the sample
    """
    loss: Tensor = _SampledCrossEntropy.apply(logits, right, log_chance)  # type: ignore[no-untyped-call]
    return loss
