"""Making a recommender: the whole way from a dataset and a recipe, measured and saved."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mgrec import artifact
from mgrec.catalogue import build_catalogue
from mgrec.continuing import check_continues, unseen
from mgrec.data.dataset import Dataset
from mgrec.data.splits import split
from mgrec.fitting import Checkpoints, fit_model, refit_model
from mgrec.model.device import device_of
from mgrec.recipe import Recipe
from mgrec.recommender import Recommender
from mgrec.users import users_of


def make(
    data: Dataset,
    recipe: Recipe | str | None,
    out: Path | None,
    final: bool,
    start: Recommender | None,
    cache: Path | None,
) -> Recommender:
    """Do what `Recommender.fit` promises."""
    if recipe is None:
        recipe = start.recipe if start else "late++"
    recipe = Recipe.named(recipe) if isinstance(recipe, str) else recipe
    if start is not None:
        check_continues(recipe, start.recipe)
    device_of(recipe.training.device)  # before anything that takes long
    if out is not None:
        artifact.check_place(out)
    catalogue = start.catalogue if start else build_catalogue(data, recipe, cache)
    if catalogue.added is not None:  # what it did not know, it is trained on now
        catalogue = replace(catalogue, added=None)
    users = users_of(data, catalogue)
    before = start.model if start else None
    saves = Checkpoints.beside(out, recipe, data.fingerprint, catalogue, before)
    facts: dict[str, Any] = {"learned": {n: {"seconds": s} for n, s in catalogue.seconds.items()}}
    parts = split(users, recipe.split)
    if start is not None:
        parts, continues = unseen(parts, users, recipe, start)
        facts |= continues
    fitted = fit_model(catalogue, parts, recipe, saves, before)
    made = Recommender(
        recipe,
        catalogue,
        fitted.model,
        users,
        np.bincount(parts.train.items, minlength=catalogue.n_items),
        facts
        | fitted.facts
        | {"notes": [*data.notes.warnings, *catalogue.problems], "order": data.notes.order},
        data.fingerprint,
    )
    if len(parts.test):
        begun = time.monotonic()
        tested = made.measured(parts)
        made.facts["test_seconds"] = time.monotonic() - begun
        made.facts["test"] = tested.to_dict()
        made = replace(made, tested=tested)
    if final and parts.train is not users.log:
        refitted = refit_model(catalogue, users.log, recipe, saves, before, fitted)
        made = replace(
            made,
            model=refitted.model,
            tested=None,
            counts=np.bincount(users.log.items, minlength=catalogue.n_items),
            facts=made.facts | {"final": refitted.facts},
        )
    if out is not None:
        made.save(out)
        saves.remove()
    return made
