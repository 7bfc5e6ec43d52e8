"""What a run that continues an artifact may change, choose by and be measured on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mgrec.data.sequences import Sequences
from mgrec.data.splits import Cases, Split
from mgrec.errors import RecipeError
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


def unseen(
    parts: Split, users: Users, recipe: Recipe, start: Recommender
) -> tuple[Split, dict[str, Any]]:
    """Leave out the cases that the weights to continue from have seen.

    A target is new to them if it came after all that they saw, or if they saw its user take it less
    often than it was taken by then. Where no validation case is new, epochs are chosen by what was
    seen: a worse choice, but no figure is untrue by it.

    Returns
    -------
    parts : what is left of them
    facts : ``continues``: how many test cases are left, whether the weights have seen others
        (`saw_tests`), the last moment that they saw (`until`), and whether the log holds all that
        they saw (`whole`); where it does not, whatever continues that run goes by moments only
    """
    before = start.facts.get("continues", {"whole": True, "until": None})
    until = max(filter(None, [before["until"], _last(start.users)]), default=None)
    honest = not start.knows_tests and start.recipe.split == recipe.split
    seen = _taken(start.users, start.split().train if honest else start.users.log)

    def new(cases: Cases) -> Cases:
        rarer = before["whole"] & _rarer(cases, users, seen)
        return cases.select(np.flatnonzero(rarer | _later(cases, users, until)))

    validation, test = new(parts.validation), new(parts.test)
    facts = {
        "test": len(test),
        "saw_tests": start.knows_tests or len(test) < len(parts.test),
        "until": until,
        "whole": before["whole"] and _holds(_taken(users, users.log), seen),
    }
    left = validation if len(validation) else parts.validation
    return replace(parts, validation=left, test=test), {"continues": facts}


def _last(users: Users) -> int | None:
    return None if users.times is None else int(users.times.max(initial=0))


def _later(cases: Cases, users: Users, until: int | None) -> NDArray[np.bool_]:
    """Return bool [cases]: whether the target came after a moment; where it is known."""
    if until is None or users.times is None:
        return np.zeros(len(cases), bool)
    place = users.log.offsets[:-1][cases.users] + cases.history.lengths
    return users.times[place] > until


def _rarer(cases: Cases, users: Users, seen: pl.DataFrame) -> NDArray[np.bool_]:
    """Return bool [cases]: whether the user was not yet seen to take the target so often."""
    owner = np.repeat(np.arange(len(cases)), cases.history.lengths)
    again = cases.history.items == cases.targets[owner]
    before = np.bincount(owner, weights=again, minlength=len(cases))
    ids = users.ids.cast(pl.String).gather(cases.users)
    asked = pl.DataFrame({"user": ids, "item": cases.targets})
    found = asked.join(seen, on=["user", "item"], how="left", maintain_order="left")
    rarer: NDArray[np.bool_] = found["times"].fill_null(0).to_numpy() <= before
    return rarer


def _taken(users: Users, log: Sequences) -> pl.DataFrame:
    """Return how often each user took each item: columns user, item, times."""
    owner = np.repeat(np.arange(len(log)), log.lengths)
    ids = users.ids.cast(pl.String).gather(owner)
    return pl.DataFrame({"user": ids, "item": log.items}).group_by("user", "item").len("times")


def _holds(log: pl.DataFrame, seen: pl.DataFrame) -> bool:
    """Whether a log has all that was seen."""
    found = seen.join(log, on=["user", "item"], how="left")
    return bool((found["times_right"].fill_null(0) >= found["times"]).all())
