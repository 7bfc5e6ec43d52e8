"""What a run that continues an artifact may change, choose by and be measured on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mgrec.data.splits import Cases, Split
from mgrec.errors import RecipeError, RequestError
from mgrec.recipe import Recipe
from mgrec.recommender import Recommender
from mgrec.users import Users


def check_continues(recipe: Recipe, before: Recipe) -> None:
    """Refuse a recipe under which an artifact's codes and weights would be others.

    Raises
    ------
    RecipeError
        With the first stage that differs.
    """
    free = {"dropout": before.model.dropout}
    kept = {"model": (recipe.model.model_copy(update=free), before.model)}
    kept |= {
        stage: (getattr(recipe, stage), getattr(before, stage))
        for stage in ("content", "quantiser", "ids")
    }
    for stage, (wanted, found) in kept.items():
        if wanted != found:
            raise RecipeError(
                f"{stage}: found other values than the artifact's, expected the same: a run that"
                " continues keeps its items, codes and weights"
            )


def saw_held_out(start: Recommender, recipe: Recipe) -> bool:
    """Whether an artifact's weights may have seen what a run under a recipe holds out."""
    return start.knows_tests or start.recipe.split != recipe.split


def unseen(parts: Split, users: Users, start: Recommender) -> Split:
    """Leave out the cases whose target an artifact's log held for the same user.

    Raises
    ------
    RequestError
        If none is left to choose the number of epochs by.
    """
    validation, test = (_new(cases, users, start.users) for cases in (parts.validation, parts.test))
    if len(parts.validation) and not len(validation):
        raise RequestError(
            "--from: the artifact was trained on everything, and the log has nothing new to choose"
            " by; expected new interactions, or an artifact made without --final"
        )
    return replace(parts, validation=validation, test=test)


def _new(cases: Cases, users: Users, before: Users) -> Cases:
    asked = users.ids.gather(cases.users).to_list()
    rows = np.array([-1 if (row := before.row(user)) is None else row for user in asked], np.int64)
    width = max(int(log.max(initial=0)) for log in (cases.targets, before.log.items)) + 1
    owner = np.repeat(np.arange(len(before)), before.log.lengths)
    held = np.isin(rows * width + cases.targets, owner * width + before.log.items)
    return cases.select(np.flatnonzero(~held | (rows < 0)))
