"""The tables of neighbours that one log gives, each made once."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np

from mgrec.configs import NeighboursConfig, shown_in
from mgrec.data.features import Embeddings
from mgrec.data.sequences import Sequences
from mgrec.model.likeness import likeness
from mgrec.model.neighbours import Table
from mgrec.model.transitions import transitions
from mgrec.progress import say


class Tables:
    """Makes a table when it is first asked for: a teacher and an expert may want the same.

    Parameters
    ----------
    log : one row a user
    n_items : of the catalogue
    vectors : by modality
    """

    def __init__(
        self,
        log: Sequences,
        n_items: int,
        vectors: Mapping[str, Embeddings],
        config: NeighboursConfig,
    ) -> None:
        self.log, self.n_items, self.vectors, self.config = log, n_items, vectors, config
        self._made: dict[str, Table] = {}
        self.facts: dict[str, dict[str, float]] = {}  # by view: what making it took

    def __getitem__(self, view: str) -> Table:
        """Return the table of a view: "linear", or a modality's name behind "knn-"."""
        if view not in self._made:
            begun = time.monotonic()
            say(f"table {view}: of at most {min(self.config.items, self.n_items):,} items")
            self._made[view] = self._make(view)
            self.facts[view] = {"seconds": time.monotonic() - begun}
            say(f"table {view}: {self.facts[view]['seconds']:.1f} s")
        return self._made[view]

    def _make(self, view: str) -> Table:
        items, most = self.config.items, self.config.most
        if (modality := shown_in(view)) is None:
            return transitions(
                self.log, self.n_items, items=items, most=most, ridge=self.config.ridge
            )
        counts = np.bincount(self.log.items, minlength=self.n_items)
        return likeness(self.vectors[modality], counts, items=items, most=most)
