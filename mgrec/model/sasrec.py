"""SASRec: the baseline that hurts, a causal transformer over item ids with a full softmax."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from mgrec.data.sequences import Sequences
from mgrec.data.splits import Cases
from mgrec.measure.metrics import metric, ranks_of
from mgrec.model.checkpoint import Checkpoint
from mgrec.model.histories import CausalStack
from mgrec.model.next_item import bucketed, tiled
from mgrec.model.training import Progress, train
from mgrec.recipe import ModelConfig, TrainingConfig


class SASRec(nn.Module):
    """SASRec (arXiv 1808.09781) with cross-entropy over the whole catalogue, tied embeddings.

    It shares its layers with the generative model's reader of histories, so that what differs
    between the two is what they predict.
    """

    def __init__(self, config: ModelConfig, n_items: int) -> None:
        super().__init__()
        self.config = config
        self.items = nn.Embedding(n_items, config.dim)
        nn.init.normal_(self.items.weight, std=0.02)
        self.stack = CausalStack(config)

    def states(self, items: Tensor) -> Tensor:
        """int64 [rows, n], -1 for padding on the right -> [rows, n, dim]"""
        # Scaled as in the paper's code, so that the places do not drown the items.
        states: Tensor = self.stack(self.items(items.clamp(min=0)) * self.config.dim**0.5)
        return states

    def logits(self, states: Tensor) -> Tensor:
        """[rows, dim] -> float32 [rows, items]"""
        return (states @ self.items.weight.T).float()

    @torch.inference_mode()
    def top(self, history: Sequences, k: int, exclude_seen: bool = False) -> NDArray[np.int64]:
        """Return int64 [rows, k]: item indices, best first; histories are not empty."""
        self.eval()
        out = np.full((len(history), k), -1, np.int64)
        recent = history.last(self.config.history)
        order = np.argsort(recent.lengths, kind="stable")
        for at in range(0, len(order), 512):
            rows = order[at : at + 512]
            padded = torch.from_numpy(recent.select(rows).padded())
            last = (padded >= 0).sum(1) - 1
            scores = self.logits(self.states(padded)[torch.arange(len(rows)), last])
            if exclude_seen:
                seen = torch.from_numpy(history.select(rows).padded())
                owner = torch.arange(len(rows))[:, None].expand_as(seen)
                scores[owner[seen >= 0], seen[seen >= 0]] = float("-inf")
            best = scores.topk(min(k, scores.shape[1]), dim=1)
            found = best.indices.masked_fill(best.values.isinf(), -1)
            out[rows, : found.shape[1]] = found.numpy()
        return out


class NextName:
    """SASRec's task: the next item's id at every position."""

    name = "SASRec"

    def __init__(self, module: SASRec, log: Sequences, config: TrainingConfig, seed: int) -> None:
        self.module, self.log, self.targets, self.seed = module, log, config.targets, seed

    def batches(self, epoch: int) -> Sequence[Tensor]:
        """Return int64 [rows, n] batches of windows."""
        rng = np.random.default_rng([self.seed, epoch])
        windows = tiled(self.log, self.module.config.history, rng)
        return bucketed(windows, windows.lengths - 1, self.targets, rng)

    def loss(self, batch: Tensor) -> Tensor:
        """Return the mean cross-entropy a target."""
        targets = batch[:, 1:]
        real = targets >= 0
        states = self.module.states(batch[:, :-1])[real]
        return F.cross_entropy(self.module.logits(states), targets[real])


@dataclass(frozen=True)
class Trained:
    """A trained SASRec, and the course of its training."""

    model: SASRec
    progress: Progress


def fit_sasrec(
    log: Sequences,
    validation: Cases | None,
    n_items: int,
    config: TrainingConfig,
    seed: int,
    *,
    history: int = 50,
    dropout: float = 0.5,
    checkpoint: Checkpoint | None = None,
) -> Trained:
    """Train SASRec, selected by NDCG@10 on the validation cases; without any, to the last epoch."""
    torch.manual_seed(seed)
    model = SASRec(ModelConfig(history=history, dropout=dropout), n_items)

    def scored(cases: Cases) -> dict[str, float]:
        found = model.top(cases.history, 10)
        return {"NDCG@10": float(metric(ranks_of(found, cases.targets), "NDCG@10").mean())}

    task = NextName(model, log, config, seed)
    progress = train(
        task,
        config,
        epochs=config.epochs,
        seed=seed,
        evaluate=partial(scored, validation) if validation else None,
        checkpoint=checkpoint,
    )
    return Trained(model.eval(), progress)
