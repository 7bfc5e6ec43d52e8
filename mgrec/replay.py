"""A catalogue from an earlier one: its changes applied in order, at one go."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import polars as pl

from mgrec.catalogue import Catalogue
from mgrec.data.features import Codes, Embeddings
from mgrec.data.rows import joined_rows
from mgrec.growing import grown, shrunk
from mgrec.journal import Step
from mgrec.newcomers import Newcomers


def replayed(catalogue: Catalogue, steps: Iterable[Step]) -> Catalogue:
    """Apply changes, oldest first.

    Consecutive additions are put together, and so are the removals after them, as long as nothing
    comes back that was taken off: then a thousand changes cost little more than one.

    Raises
    ------
    DataError, RequestError
        If a change does not fit the catalogue.
    """
    joining: list[Newcomers] = []
    leaving: list[pl.Series] = []
    for step in steps:
        if isinstance(step, pl.Series):
            leaving.append(step)
            continue
        if leaving and step.items["item_id"].is_in(pl.concat(leaving).to_list()).any():
            catalogue = _applied(catalogue, joining, leaving)
            joining, leaving = [], []
        joining.append(step)
    return _applied(catalogue, joining, leaving)


def _applied(
    catalogue: Catalogue, joining: Sequence[Newcomers], leaving: Sequence[pl.Series]
) -> Catalogue:
    if joining:
        catalogue = grown(catalogue, _together(joining))
    if leaving:
        catalogue = shrunk(catalogue, catalogue.index_of(pl.concat(leaving)))
    return catalogue


def _together(several: Sequence[Newcomers]) -> Newcomers:
    """Put additions into one, in their order."""
    if len(several) == 1:
        return several[0]
    first = several[0]
    roots = [new.root for new in several if new.root is not None]
    return Newcomers(
        joined_rows([new.items for new in several]),
        roots[0] if roots else None,
        {
            name: Embeddings(
                np.concatenate([new.vectors[name].vectors for new in several]),
                np.concatenate([new.vectors[name].present for new in several]),
            )
            for name in first.vectors
        },
        {
            name: Codes(
                np.concatenate([new.codes[name].codes for new in several]),
                np.concatenate([new.codes[name].present for new in several]),
                codes.sizes,
            )
            for name, codes in first.codes.items()
        },
        tuple(line for new in several for line in new.problems),
    )
