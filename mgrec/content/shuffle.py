"""The negative control: contents permuted between the items that have them.

A model that is as good on shuffled pictures does not use what is in them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from mgrec.data.blocks import gather
from mgrec.data.features import Codes, Embeddings

T = TypeVar("T")
Feature = TypeVar("Feature", Embeddings, Codes)


def permutation(present: NDArray[np.bool_], seed: int) -> NDArray[np.int64]:
    """Return int64 [items]: whose content each item gets; itself where it has none.

    Parameters
    ----------
    present : bool [items]
    seed : int
        The same seed and the same items give the same permutation, whatever the modality.
    """
    source = np.arange(len(present))
    having = np.flatnonzero(present)
    source[having] = np.random.default_rng(seed).permutation(having)
    return source


def permuted(contents: Sequence[T | None], seed: int) -> list[T | None]:
    """Return texts or pictures permuted between the items that have one."""
    present = np.array([content is not None for content in contents], bool)
    return [contents[source] for source in permutation(present, seed)]


def shuffled(feature: Feature, seed: int) -> Feature:
    """Return ready-made embeddings or codes, their rows permuted as `permuted` does."""
    source = permutation(feature.present, seed)
    if isinstance(feature, Embeddings):
        rows: dict[str, Any] = {"vectors": gather(feature.vectors, source)}
    else:
        rows = {"codes": feature.codes[source]}
    return replace(feature, **rows)
