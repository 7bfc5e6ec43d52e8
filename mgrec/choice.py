"""Choosing on validation: on which cases, by which figures, which epoch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mgrec.configs import TrainingConfig
from mgrec.data.splits import Cases
from mgrec.measure.metrics import metric
from mgrec.model.training import SELECT, Progress
from mgrec.recipe import Recipe


def sampled(cases: Cases, recipe: Recipe) -> Cases:
    """Return the fixed sample of validation users that selection is done on."""
    return cases.sample(recipe.training.validation_users, recipe.seed)


def best_epoch(done: Progress) -> int:
    """Return how many epochs the kept weights were trained for."""
    scored = [entry for entry in done.curve if SELECT in entry]
    # The first of equals, as training keeps it.
    if not scored:
        return done.epoch
    return max(1, round(max(scored, key=lambda e: e[SELECT])["epoch"]))


def untimed(recipe: Recipe) -> TrainingConfig:
    """Return the training of a stage whose epochs are given: `minutes` are for choosing them."""
    return recipe.training.model_copy(update={"minutes": None})


def scored(ranks: NDArray[np.int64]) -> dict[str, float]:
    """Return what is watched in training, from the ranks of the targets."""
    return {name: float(metric(ranks, name).mean()) for name in ("NDCG@10", "Recall@10")}
