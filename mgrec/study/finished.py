"""The finished runs of a comparison's folder, found again without its data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from mgrec.errors import RequestError
from mgrec.recipe import Recipe
from mgrec.recommender import Recommender
from mgrec.study import ledger
from mgrec.study.grid import Entry
from mgrec.study.outcomes import cases_of, measured


@dataclass(frozen=True)
class Finished:
    """One trained and measured model of a comparison.

    Attributes
    ----------
    entry : its row
    seed : of this run
    folder : of its artifact and outcome
    """

    entry: Entry
    seed: int
    folder: Path

    @property
    def name(self) -> str:
        return self.entry.name

    @property
    def recipe(self) -> Recipe:
        """The recipe of this run, its seed included."""
        return self.entry.seeded(self.seed)

    def load(self) -> Recommender:
        """Load its model and catalogue."""
        return Recommender.load(self.folder)

    def tested(self) -> pl.DataFrame:
        """Return what it did on every test case: ``user``, ``target``, ``rank``, ``items``.

        The lists of items are missing from runs that were measured before lists were kept.
        """
        return cases_of(self.folder)


def finished(folder: Path) -> tuple[Finished, ...]:
    """Return the runs of models that are done, row by row, each row's first seed first.

    Sweeps and variants are left out: their rows are read in the comparison's own report.

    Raises
    ------
    RequestError
        If the folder is no comparison's, or nothing in it is done.
    """
    grid = ledger.read(folder)
    if grid is None:
        raise RequestError(
            f"{folder}: found no grid.json, expected a folder that 'mgrec compare' wrote"
        )
    found = tuple(
        Finished(entry, seed, place)
        for entry in grid.entries
        if entry.headline
        for seed in entry.seeds
        if measured(place := folder / "runs" / f"{entry.slug}-{seed}")
    )
    if not found:
        raise RequestError(f"{folder}: no model is trained yet, expected at least one run done")
    return found
