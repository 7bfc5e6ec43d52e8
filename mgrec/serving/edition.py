"""An edition: one version of one run's catalogue, which an answer belongs to as a whole."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import polars as pl

from mgrec.recommender import Recommender
from mgrec.titles import TITLES, titles

HINTS = 4  # filters to begin with
FEW = 50  # values of an attribute of which one makes a filter


@dataclass(frozen=True, eq=False)
class Edition:
    """What one version of a run answers with.

    Attributes
    ----------
    run : the name under which it is served
    version : of its catalogue
    recommender : over exactly that catalogue
    """

    run: str
    version: int
    recommender: Recommender

    @cached_property
    def _titles(self) -> list[str]:
        """A list, since a look-up in a table takes milliseconds."""
        items = self.recommender.catalogue.items
        return titles(items, range(len(items)))

    @property
    def n_items(self) -> int:
        """Items that may be recommended."""
        return self.recommender.n_listed

    @cached_property
    def searchable(self) -> pl.Series:
        """What a search of the catalogue looks through: titles and ids, in lower case."""
        ids = self.recommender.catalogue.items["item_id"].cast(pl.String)
        return (pl.Series("title", self._titles, dtype=pl.String) + " " + ids).str.to_lowercase()

    @property
    def attributes(self) -> dict[str, pl.DataType]:
        """The columns that filters may name, and their types."""
        schema = self.recommender.catalogue.items.schema
        return {name: kind for name, kind in schema.items() if name not in ("item_id", "image")}

    @cached_property
    def hints(self) -> list[str]:
        """Filters to begin with, out of the catalogue's own attributes."""
        found = []
        for name, kind in self.attributes.items():
            column = self.recommender.catalogue.items[name].drop_nulls()
            if name in TITLES or not name.isidentifier() or 2 * len(column) <= len(self._titles):
                continue
            middle = column.median() if kind.is_numeric() else None
            if isinstance(middle, int | float) and math.isfinite(middle):
                found.append(f"{name} < {middle:.4g}")
            elif kind == pl.String and column.n_unique() <= FEW:
                most = column.alias("value").value_counts(sort=True)["value"][0]
                if '"' not in most and "\\" not in most:
                    found.append(f'{name} == "{most}"')
        return found[:HINTS]

    def titles(self, rows: Sequence[int]) -> list[str]:
        """Return what items are called, empty where they have no name."""
        return [self._titles[row] for row in rows]

    def warm(self) -> None:
        """Ask once, so that no client waits for what is made at the first request."""
        self.titles([])
        first = self.recommender.catalogue.items["item_id"].head(1).to_list()
        if first:
            self.recommender.recommend(history=first, k=1)
