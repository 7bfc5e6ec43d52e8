"""Parts of the cases that tables show by themselves: rare targets, short histories, and so on."""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mgrec.data.sequences import Sequences

# What the slices by popularity mean, for captions. Head, middle and tail are all items, by rank;
# cold, seldom and rare are counts, so in a sparse log they may be most of the tail.
MEANING: Mapping[str, str] = {
    "cold": "the target is never in train",
    "seldom": "the target is once or twice in train",
    "rare": "the target is at most twice in train",
    "tail": "the target is outside the most popular 20% of items",
    "middle": "the target is in the most popular 20% of items, but not 5%",
    "head": "the target is in the most popular 5% of items",
}

_HEAD, _MIDDLE = 0.05, 0.20  # parts of the catalogue, most popular first
_LENGTHS = (0, 5, 10, 20, 50, 100)  # each bucket of history lengths begins at one of these


def slices(
    targets: NDArray[np.integer],
    history: Sequences,
    train: Sequences,
    n_items: int,
    present: Mapping[str, NDArray[np.bool_]],
) -> dict[str, NDArray[np.bool_]]:
    """Return which cases are in which slice; a slice without a case is left out.

    Parameters
    ----------
    targets : int [C]
        Item indices.
    history : Sequences
        One row a case.
    train : Sequences
        What popularity is counted in.
    n_items : int
        Of the catalogue.
    present : mapping of str to bool [items]
        By modality, which items have it.

    Returns
    -------
    dict of str to bool [C]
        By popularity: ``cold``, ``seldom``, ``rare``, ``tail``, ``middle``, ``head`` (`MEANING`).
        Items of equal count are in one slice, the less popular. By length: ``history 5-9`` and so
        on. By what the target lacks: ``without image``.
    """
    counts = np.bincount(train.items, minlength=n_items)  # int64 [items]
    all_slices = (
        _by_popularity(targets, counts)
        | _by_length(history.lengths)
        | {f"without {modality}": ~has[targets] for modality, has in present.items()}
    )
    return {name: mask for name, mask in all_slices.items() if mask.any()}


def _by_popularity(
    targets: NDArray[np.integer], counts: NDArray[np.integer]
) -> dict[str, NDArray[np.bool_]]:
    taken = counts[targets]  # int64 [C]
    ranked = np.sort(counts)[::-1]
    head = taken > ranked[int(_HEAD * len(counts))]
    above_tail = taken > ranked[int(_MIDDLE * len(counts))]
    return {
        "cold": taken == 0,
        "seldom": (taken == 1) | (taken == 2),
        "rare": taken <= 2,
        "tail": ~above_tail,
        "middle": above_tail & ~head,
        "head": head,
    }


def _by_length(lengths: NDArray[np.int64]) -> dict[str, NDArray[np.bool_]]:
    bucket = np.digitize(lengths, _LENGTHS) - 1  # int64 [C]
    ends = [f"{low}-{high - 1}" for low, high in pairwise(_LENGTHS)] + [f"{_LENGTHS[-1]} and more"]
    return {f"history {end}": bucket == place for place, end in enumerate(ends)}
