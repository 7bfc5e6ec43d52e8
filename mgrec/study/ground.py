"""What all rows of a comparison are measured on: one dataset, one split, one set of slices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mgrec.configs import SplitConfig
from mgrec.data.dataset import Dataset
from mgrec.data.splits import Split, split
from mgrec.errors import RequestError
from mgrec.measure.slices import slices


@dataclass(frozen=True, eq=False)
class Ground:
    """The common ground.

    Attributes
    ----------
    data : catalogue and log
    config : of the split
    parts : what is trained on, chosen by and tested on
    slices : bool [test cases] by name
    """

    data: Dataset
    config: SplitConfig
    parts: Split
    slices: dict[str, NDArray[np.bool_]]

    @classmethod
    def of(cls, data: Dataset, config: SplitConfig) -> Ground:
        """Split a dataset once for everybody.

        Raises
        ------
        RequestError
            If nothing is held out to test on.
        """
        parts = split(data, config)
        if not len(parts.test):
            raise RequestError("compare: no user is held out for the test, expected at least one")
        present = {modality: data.present(modality) for modality in data.modalities}
        masks = slices(parts.test.targets, parts.test.history, parts.train, data.n_items, present)
        return cls(data, config, parts, masks)

    def protocol(self, exclude_seen: bool) -> str:
        """Say in one sentence how figures are measured."""
        chosen = len(self.parts.validation) > 0
        return stated(self.config.kind, self.data.n_items, exclude_seen, chosen)


def stated(split: str, n_items: int, exclude_seen: bool, chosen: bool) -> str:
    """Say in one sentence how figures are measured; `chosen`: whether on validation."""
    seen = "items of a user's history left out" if exclude_seen else "nothing filtered"
    return (
        f"Test of the split '{split}', item level, ranked against all {n_items:,} items, {seen},"
        f" {'selected on validation' if chosen else 'nothing to select by'}; 95% bootstrap"
        " intervals over users."
    )
