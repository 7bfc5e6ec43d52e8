"""A planted world some of whose items come only after training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from mgrec import Dataset
from mgrec.data.cold import drawn, without
from mgrec.data.features import Embeddings


@dataclass(frozen=True)
class Arrivals:
    """What is trained on, and what comes afterwards."""

    warm: Dataset
    items: pl.DataFrame
    ready: dict[str, Embeddings]

    @property
    def ids(self) -> list[str]:
        return self.items["item_id"].to_list()

    def some(self, *places: int) -> tuple[pl.DataFrame, dict[str, Embeddings]]:
        rows = np.array(places)
        return self.items[rows], {name: e.select(rows) for name, e in self.ready.items()}


def arrivals(data: Dataset, share: float = 0.1, seed: int = 0) -> Arrivals:
    rows = drawn(data, share, seed)
    ready = {name: e.select(rows) for name, e in data.embeddings.items()}
    return Arrivals(without(data, rows), data.items[rows], ready)
