"""The grid of a comparison: which recipes, with which seeds, on one budget."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from mgrec.catalogue import sources
from mgrec.data.dataset import Dataset
from mgrec.errors import DataError, RecipeError, RequestError
from mgrec.recipe import Recipe

REFERENCE = "late++"  # what every row is tested against, where it is in the grid


@dataclass(frozen=True)
class Point:
    """Where on a sweep's axis a row lies: ``late++``, ``quantiser.levels``, ``2``."""

    base: str
    key: str
    value: str


@dataclass(frozen=True)
class Entry:
    """One row of the comparison to be: a recipe, trained once a seed.

    Attributes
    ----------
    name : of the row, also in the artifact's recipe
    recipe : overrides included; its own seed does not matter
    seeds : in the order in which they are trained
    point : where it lies on a sweep, if it was asked for by one
    """

    name: str
    recipe: Recipe
    seeds: tuple[int, ...]
    point: Point | None = None

    @property
    def slug(self) -> str:
        """The name as that of a folder."""
        return slug(self.name)

    def seeded(self, seed: int) -> Recipe:
        """Return the recipe of one run."""
        return self.recipe.model_copy(update={"seed": seed})


def slug(name: str) -> str:
    """Return a row's name as a folder's."""
    return re.sub(r"[^A-Za-z0-9+._=\[\]-]+", "-", name).strip("-.")


def entries(
    recipes: Sequence[str],
    sweeps: Sequence[str] = (),
    *,
    seeds: int = 3,
    settings: Iterable[str] = (),
    base: str = REFERENCE,
) -> tuple[Entry, ...]:
    """Read what is to be compared.

    Parameters
    ----------
    recipes : names or YAML files; ``name*1`` has one seed, whatever `seeds` says
    sweeps : ``key=value,value,...`` or ``recipe: key=value,...``: a row a value with one seed,
        everything else as in the recipe, `base` if none is named
    settings : overrides for every row, ``key=value``

    Raises
    ------
    RequestError, RecipeError
        If a name, number or setting does not fit, or two rows have one name.
    """
    settings = list(settings)
    if seeds < 1:
        raise RequestError(f"seeds: expected at least 1, found {seeds}")
    rows = [_headline(word, seeds, settings) for word in recipes]
    rows += [row for sweep in sweeps for row in _swept(sweep, settings, base)]
    if not rows:
        raise RequestError("compare: found no recipe, expected at least one")
    folders = sorted(row.slug.lower() for row in rows)
    for one, other in pairwise(folders):
        if one == other:
            raise RequestError(f"compare: two rows are called '{one}', expected names that differ")
    kinds = {row.recipe.split for row in rows}
    if len(kinds) > 1:
        raise RequestError("compare: the recipes have different splits, expected one for all rows")
    return tuple(rows)


def inapplicable(entry: Entry, data: Dataset) -> str | None:
    """Return why a row does not apply to a dataset, in one line; None where it does."""
    try:
        sources(data, entry.recipe)
    except (RecipeError, DataError) as error:
        return str(error)
    return None


def reference(rows: Sequence[Entry], wanted: str | None) -> str:
    """Return the row that all others are tested against.

    Parameters
    ----------
    rows : those that apply
    wanted : a row's name; None is `REFERENCE`, else the first row that fuses so, else the last

    Raises
    ------
    RequestError
        If there is no such row.
    """
    names = [row.name for row in rows]
    if wanted is not None and wanted not in names:
        raise RequestError(f"--against {wanted}: no such row, expected one of {', '.join(names)}")
    if wanted is not None or not rows:
        return wanted or ""
    fused = [row.name for row in rows if row.recipe.ids.fusion == REFERENCE]
    return REFERENCE if REFERENCE in names else [*fused, names[-1]][0]


def merged(before: Sequence[Entry], now: Sequence[Entry]) -> tuple[Entry, ...]:
    """Return a grid extended by rows and seeds; rows of both have the same recipe."""
    rows = {row.name: row for row in before}
    for row in now:
        if row.name in rows:
            more = [seed for seed in row.seeds if seed not in rows[row.name].seeds]
            rows[row.name] = replace(row, seeds=(*rows[row.name].seeds, *more))
        else:
            rows[row.name] = row
    return tuple(rows.values())


def _headline(word: str, seeds: int, settings: list[str]) -> Entry:
    name, star, count = word.strip().partition("*")
    if star and not (count.isdecimal() and int(count)):
        raise RequestError(f"recipe '{word}': expected a number of seeds after *, such as *1")
    return _entry(name, int(count) if star else seeds, settings)


def _entry(word: str, seeds: int, settings: list[str], swept: str = "") -> Entry:
    """Return a row; its name is the word, or a YAML file's stem, and the swept setting."""
    chosen = Recipe.named(word).override([*settings, *([swept] if swept else [])])
    if chosen.seed != Recipe.named(word).seed:
        raise RequestError("setting 'seed': expected --seeds, a comparison's own")
    name = Path(word).stem if word.endswith((".yaml", ".yml")) else word
    name = f"{name}, {swept}" if swept else name
    return Entry(name, chosen.model_copy(update={"name": name}), tuple(range(seeds)))


def _swept(sweep: str, settings: list[str], base: str) -> Iterator[Entry]:
    head, colon, tail = sweep.partition(": ")
    word, setting = (head.strip(), tail) if colon else (base, sweep)
    key, equals, values = (part.strip() for part in setting.partition("="))
    if not equals or not values:
        raise RequestError(
            f"sweep '{sweep}': expected key=value,value, such as quantiser.levels=2,3,"
            " after a recipe's name and a colon if it is not the reference's"
        )
    for value in re.split(r",(?![^\[]*\])", values):  # a comma in a list parts no values
        row = _entry(word, 1, settings, f"{key}={value.strip()}")
        yield replace(row, point=Point(word, key, value.strip()))
