"""The experts of a recipe: each trained by itself, all weighed on validation."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from mgrec.choice import best_epoch, scored, untimed
from mgrec.data.sequences import Sequences
from mgrec.data.splits import Cases
from mgrec.measure.metrics import ranks_of
from mgrec.model.checkpoint import Checkpoint
from mgrec.model.experts import Expert, Experts
from mgrec.model.generator import Generator
from mgrec.model.neighbours import Neighbours, Table
from mgrec.model.next_name import NextName
from mgrec.model.training import Progress, train
from mgrec.progress import say
from mgrec.recipe import Recipe
from mgrec.search.repeats import learn_repeat
from mgrec.search.weights import learn_weights
from mgrec.tables import Tables


def fit_experts(
    experts: Experts,
    train: Sequences,
    sample: Cases | None,  # of validation
    tables: Tables,  # of the train split
    recipe: Recipe,
    checkpoint: Callable[[str], Checkpoint | None],  # of a named expert
) -> dict[str, Any]:
    """Train every expert by itself, each to its own best epoch on validation, or fill its table."""
    facts: dict[str, Any] = {}
    for name in experts.names:
        if isinstance(table := experts[name], Neighbours):
            facts[name] = fill(table, tables[name], sample)
            continue
        done = fit_expert(
            experts,
            name,
            train,
            recipe,
            checkpoint(name),
            recipe.model.experts.epochs,
            sample,
        )
        facts[name] = {"seconds": done.seconds, "curve": done.curve, "epochs": best_epoch(done)}
    return facts


def refit_experts(
    experts: Experts,
    chosen: Experts,
    facts: dict[str, Any],  # of the chosen ones
    log: Sequences,
    tables: Tables,  # of the whole log
    recipe: Recipe,
    checkpoint: Callable[[str], Checkpoint | None],  # of a named expert
) -> None:
    """Train every expert anew on a whole log, as validation chose it."""
    for name in experts.names:
        ours, theirs = experts[name], chosen[name]
        if isinstance(ours, Neighbours) and isinstance(theirs, Neighbours):
            fill(ours, tables[name], None)
            ours.scale.copy_(theirs.scale)
            ours.floor.copy_(theirs.floor)
        else:
            fit_expert(experts, name, log, recipe, checkpoint(name), facts[name]["epochs"])


def fill(expert: Neighbours, table: Table, sample: Cases | None) -> dict[str, Any]:
    """Give an expert its table; with a sample of cases, calibrate it on them."""
    begun = time.monotonic()
    expert.fill(table)
    if sample is not None:
        expert.calibrate(sample.history, sample.targets)
    fitted = {"scale": float(expert.scale), "floor": float(expert.floor)}
    return fitted | {"seconds": time.monotonic() - begun}


def fit_expert(
    experts: Experts,
    name: str,
    log: Sequences,
    recipe: Recipe,
    checkpoint: Checkpoint | None,
    epochs: int,
    sample: Cases | None = None,
) -> Progress:
    """Train one expert; with a sample of cases, keep its best epoch on them."""
    expert, config = experts[name], recipe.model.experts
    assert isinstance(expert, Expert)
    settings = untimed(recipe).model_copy(update={"learning_rate": config.learning_rate})
    label = f"expert {name}"
    task = NextName(expert, log, settings, recipe.seed, negatives=config.negatives, name=label)

    def evaluate() -> dict[str, float]:
        assert sample is not None
        return scored(ranks_of(expert.top(sample.history, 10), sample.targets))

    return train(
        task,
        settings,
        epochs=epochs,
        planned=config.epochs,
        seed=recipe.seed + 2 + experts.names.index(name),  # each its own noise
        evaluate=None if sample is None else evaluate,
        checkpoint=checkpoint,
    )


def combine(model: Generator, sample: Cases, recipe: Recipe) -> dict[str, Any]:
    """Choose on validation how much each expert counts, and the repeat scores."""
    facts: dict[str, Any] = {}
    if model.config.repeat:
        learn_repeat(model, sample.history, sample.targets)
        facts["repeat"] = {"generated": float(model.repeat)}
        if model.experts is not None:
            theirs = zip(model.experts.names, model.experts.repeat.tolist(), strict=True)
            facts["repeat"] |= dict(theirs)
        say("repeat scores: " + ", ".join(f"{n} {b:+.2f}" for n, b in facts["repeat"].items()))
    if model.experts is not None:
        learn_weights(model, sample.history, sample.targets, recipe.search.validation_beams)
        weights = zip(model.experts.names, model.experts.weight.tolist(), strict=True)
        facts["weights"] = dict(weights)
        say("experts: " + ", ".join(f"{name} {w:.2f}" for name, w in facts["weights"].items()))
    return facts
