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
from mgrec.cores import check_process
from mgrec.data.dataset import Dataset
from mgrec.data.splits import split
from mgrec.errors import ArtifactError
from mgrec.fitting import Checkpoints, digest, fit_model, refit_model
from mgrec.model.device import device_of, own_random_state
from mgrec.progress import say
from mgrec.recipe import Recipe
from mgrec.recommender import Recommender
from mgrec.users import users_of


@own_random_state()
def make(
    data: Dataset,
    recipe: Recipe | str | None,
    out: Path | None,
    final: bool,
    start: Recommender | None,
    cache: Path | None,
    replaces: bool,
) -> Recommender:
    """Do what `Recommender.fit` promises."""
    check_process()
    if recipe is None:
        recipe = start.recipe if start else "late++"
    recipe = Recipe.named(recipe) if isinstance(recipe, str) else recipe
    if start is not None:
        check_continues(recipe, start.recipe)
    device_of(recipe.training.device)  # before anything that takes long
    options = {"final": final, "start": None if start is None else digest(start.model)}
    if out is not None:
        artifact.check_place(out)
        if (done := _finished(out, recipe, data, options, replaces)) is not None:
            return done
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
        | {
            "notes": [*data.notes.warnings, *catalogue.problems],
            "order": data.notes.order,
            "options": options,
        },
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


def _finished(
    out: Path, recipe: Recipe, data: Dataset, options: dict[str, Any], replaces: bool
) -> Recommender | None:
    """Return the recommender that the same fit saved earlier, or None.

    Raises
    ------
    ArtifactError
        If another fit's artifact is there and may not be replaced.
    """
    if not artifact.is_artifact(out):
        return None
    try:
        manifest = artifact.read_manifest(out)
        same = (manifest.recipe, manifest.fingerprint) == (
            recipe.model_dump(mode="json"),
            data.fingerprint,
        )
        if same and _options_of(done := Recommender.load(out)) == options:
            say(f"{out}: this fit is finished, nothing to do")
            return done
    except ArtifactError:
        if not replaces:
            raise
    if replaces:
        return None
    raise ArtifactError(
        f"{out}: found the artifact of another fit, expected a new folder;"
        " --replace (replace=True) replaces it, and 'mgrec rollback' brings it back"
    )


def _options_of(made: Recommender) -> dict[str, Any]:
    """Return the options of a fit; older artifacts record only some of them."""
    start = "unknown" if "continues" in made.facts else None
    found: dict[str, Any] = made.facts.get("options", {"final": made.final, "start": start})
    return found
