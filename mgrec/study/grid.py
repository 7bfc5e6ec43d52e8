"""The grid of a comparison: which recipes, with which seeds, on one budget."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from mgrec.catalogue import sources
from mgrec.configs import QuantiserConfig
from mgrec.data.dataset import Dataset
from mgrec.errors import DataError, RecipeError, RequestError
from mgrec.recipe import Recipe

TAKEN = {"popularity", "linear", "sasrec", "sasrec-trials"}  # folders of baselines
TAKEN_HEAD = "item-knn-on-"
REFERENCE = "late++"  # what every row is tested against, where it is in the grid
SEEDS = 1000  # of a row, at most


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
    what : of the row, in a sentence, where its recipe does not say it
    """

    name: str
    recipe: Recipe
    seeds: tuple[int, ...]
    point: Point | None = None
    what: str = ""

    @property
    def slug(self) -> str:
        """The name as that of a folder."""
        return slug(self.name)

    @property
    def headline(self) -> bool:
        """Whether it was asked for by itself, and not as a variant of another."""
        return self.point is None and not self.what

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
    base: str | None = None,
    data: Dataset | None = None,
    more: Sequence[Entry] = (),
) -> tuple[Entry, ...]:
    """Read what is to be compared.

    Parameters
    ----------
    recipes : names or YAML files; ``name*1`` has one seed, whatever `seeds` says
    sweeps : ``key=value,value,...`` or ``recipe: key=value,...``: a row a value with one seed,
        everything else as in the recipe, or in that of `base` if none is named; None, or what is
        no recipe's row, is the `reference` among the recipes that apply to `data`
    settings : overrides for every row, ``key=value``
    more : rows of studies; what is there already is not asked for twice

    Raises
    ------
    RequestError, RecipeError
        If a name, number or setting does not fit, or two rows have one name.
    """
    settings = list(settings)
    rows = [_headline(word, seeds, settings) for word in recipes]
    words = {
        row.name: word.partition("*")[0].strip() for row, word in zip(rows, recipes, strict=True)
    }
    if base is None or base not in {*words, *Recipe.names()}:
        able = [row for row in rows if data is None or inapplicable(row, data) is None]
        base = reference(able, None) or REFERENCE
    rows += [row for sweep in sweeps for row in swept(sweep, settings, words.get(base, base))]
    folders = sorted(row.slug.lower() for row in rows)
    for folder in folders:
        if folder in TAKEN or folder.startswith(TAKEN_HEAD):
            raise RequestError(f"compare: a row is called '{folder}', which is a baseline's name")
    for one, other in pairwise(folders):
        if one == other:
            raise RequestError(f"compare: two rows are called '{one}', expected names that differ")
    rows = list(merged(rows, more))
    if not rows:
        raise RequestError("compare: found no recipe, expected at least one")
    kinds = {row.recipe.split for row in rows}
    if len(kinds) > 1:
        raise RequestError("compare: the recipes have different splits, expected one for all rows")
    return tuple(rows)


def inapplicable(entry: Entry, data: Dataset) -> str | None:
    """Return why a row does not apply to a dataset, in one line; None where it does."""
    try:
        found = sources(data, entry.recipe)
    except (RecipeError, DataError) as error:
        return str(error)
    if entry.point is None:
        return None
    stage, _, field = entry.point.key.rpartition(".")
    if stage == "alignment" and entry.recipe.ids.fusion != "late++":
        return f"{entry.point.key}: only late++ aligns, so that it would change nothing"
    quantises = stage == "quantiser" or (not stage and field in QuantiserConfig.model_fields)
    if quantises and set(found.values()) == {"codes"}:
        return f"{entry.point.key}: there are ready-made codes only, which nothing quantises"
    return None


def reference(rows: Sequence[Entry], wanted: str | None) -> str:
    """Return the row that all others are tested against.

    Parameters
    ----------
    rows : those that apply
    wanted : a row's name; None is `REFERENCE`, else the first row that fuses so, else the last that
        was asked for by itself

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
    alone = [row.name for row in rows if row.headline]
    return REFERENCE if REFERENCE in names else [*fused, *alone[-1:], names[-1]][0]


def merged(before: Sequence[Entry], now: Sequence[Entry]) -> tuple[Entry, ...]:
    """Return a grid extended by rows and seeds.

    Raises
    ------
    RequestError
        If a row of both does not have the same recipe.
    """
    rows = {row.name: row for row in before}
    for row in now:
        if row.name in rows:
            known = rows[row.name]
            if known.recipe != row.recipe:
                raise RequestError(f"compare: two rows are called '{row.name}', and they differ")
            more = [seed for seed in row.seeds if seed not in known.seeds]
            # What was ever asked for by itself stays that, when a study has it as a variant too.
            told = row if row.headline else known
            rows[row.name] = replace(told, seeds=(*known.seeds, *more))
        else:
            rows[row.name] = row
    return tuple(rows.values())


def made(
    word: str,
    settings: Iterable[str],
    seeds: int,
    *,
    name: str = "",
    changes: Sequence[str] = (),
    what: str = "",
) -> Entry:
    """Return a row: a recipe, the overrides of all rows, and what this one changes.

    Parameters
    ----------
    word : a recipe's name, or a YAML file, whose stem is then the row's name
    name : of the row, if it is not the recipe's
    changes : ``key=value``, this row's own; where they are overridden for all, they win

    Raises
    ------
    RequestError, RecipeError
        If there is no such recipe or a setting does not fit.
    """
    if not 1 <= seeds <= SEEDS:
        raise RequestError(f"seeds: expected 1 to {SEEDS:,}, found {seeds}")
    recipe = Recipe.named(word)
    chosen = recipe.override([*settings, *changes])
    if chosen.seed != recipe.seed:
        raise RequestError("setting 'seed': expected --seeds, a comparison's own")
    name = name or stem(word)
    recipe = chosen.model_copy(update={"name": name})
    return Entry(name, recipe, tuple(range(seeds)), what=what)


def stem(word: str) -> str:
    """Return a recipe's name, or that of a YAML file without its folder and ending."""
    return Path(word).stem if word.endswith((".yaml", ".yml")) else word


def swept(sweep: str, settings: Sequence[str], base: str) -> Iterator[Entry]:
    """Return the rows of a sweep, see `entries`."""
    head, colon, tail = sweep.partition(": ")
    word, setting = (head.strip(), tail) if colon else (base, sweep)
    key, equals, values = (part.strip() for part in setting.partition("="))
    if not equals or not values:
        raise RequestError(
            f"sweep '{sweep}': expected key=value,value, such as quantiser.levels=2,3,"
            " after a recipe's name and a colon if it is not the reference's"
        )
    for value in re.split(r",(?![^\[]*\])", values):  # a comma in a list parts no values
        change = f"{key}={value.strip()}"
        row = made(word, settings, 1, name=f"{stem(word)}, {change}", changes=[change])
        yield replace(row, point=Point(word, key, value.strip()))


def _headline(word: str, seeds: int, settings: Sequence[str]) -> Entry:
    name, star, count = word.strip().partition("*")
    if star and not (count.isdecimal() and len(count) < 10 and int(count)):
        raise RequestError(f"recipe '{word}': expected a number of seeds after *, such as *1")
    return made(name, settings, int(count) if star else seeds)
