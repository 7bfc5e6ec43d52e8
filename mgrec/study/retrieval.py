"""What alignment teaches: retrieval of one modality's block by another's, on items kept from it.

The alignment stage of a recipe is run again without a seeded tenth of the items. Before and after,
each of those items' blocks looks for its other block among all of theirs. The modality gap is the
distance between the means of both modalities' unit vectors (Liang et al., arXiv 2203.02053).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mgrec.catalogue import Catalogue
from mgrec.choice import untimed
from mgrec.fitting import fresh
from mgrec.measure.intervals import Interval, bootstrap
from mgrec.model.alignment import Alignment
from mgrec.model.device import own_random_state
from mgrec.model.training import train
from mgrec.recipe import Recipe

PART = 0.1  # of the items with several modalities, withheld
MOST = 2000  # items looked among


@dataclass(frozen=True)
class Retrieval:
    """One direction on one set of items.

    Attributes
    ----------
    source, goal : modalities: ``text`` looks for ``image``
    items : that look
    among : distinct blocks that they look among
    first, ten : share of items whose own block comes first, or among the first ten
    guessed : what guessing gives: the share that would come first, and among the first ten
    gap : between the means of both modalities' unit vectors, 0 to 2
    """

    source: str
    goal: str
    items: int
    among: int
    first: Interval
    ten: Interval
    guessed: tuple[float, float]
    gap: float


@dataclass(frozen=True)
class Aligned:
    """Both directions before and after, on withheld items and on as many that were not."""

    before: tuple[Retrieval, ...]
    after: tuple[Retrieval, ...]
    shown: tuple[Retrieval, ...]


def withheld(alignment: Alignment, seed: int) -> tuple[Tensor, Tensor]:
    """Return int64 [n] items to withhold, a seeded tenth, and as many others to compare with."""
    order = np.random.default_rng([seed, 17]).permutation(alignment.items.numpy())
    count = min(MOST, max(1, round(PART * len(order))))
    kept, others = order[:count], order[count : 2 * count]
    return torch.from_numpy(np.sort(kept)), torch.from_numpy(np.sort(others))


@own_random_state()
def aligned(catalogue: Catalogue, recipe: Recipe, seed: int = 0) -> Aligned:
    """Align a fresh model without some items, and measure it on them.

    Parameters
    ----------
    recipe : one that aligns; sizes, epochs, objectives and its seed are what counts
    seed : of the choice of items
    """
    model = fresh(catalogue, recipe)
    everything = Alignment(model, recipe.alignment, recipe.seed)
    kept, others = withheld(everything, seed)
    hidden = torch.zeros(catalogue.n_items, dtype=torch.bool)
    hidden[kept] = True
    alignment = Alignment(model, recipe.alignment, recipe.seed, hidden)
    before = retrievals(alignment, kept)
    train(alignment, untimed(recipe), epochs=recipe.alignment.epochs, seed=recipe.seed)
    return Aligned(before, retrievals(alignment, kept), retrievals(alignment, others))


@torch.inference_mode()
def retrievals(alignment: Alignment, items: Tensor) -> tuple[Retrieval, ...]:
    """Let every modality's blocks of some items look for every other's; items int64 [n]."""
    alignment.eval()
    pooled = {
        modality: alignment.pooled(alignment.read(items, modality), modality).float().numpy()
        for modality in alignment.blocks
    }
    found = []
    for source, goal in permutations(pooled, 2):
        has = (alignment.has[source][items] & alignment.has[goal][items]).numpy()
        if not has.any():
            continue
        table = alignment.generator.token_table[items][:, list(alignment.blocks[goal])].numpy()
        found.append(retrieval(pooled[source][has], pooled[goal][has], table[has], source, goal))
    return tuple(found)


def retrieval(
    queries: NDArray[np.float32],
    answers: NDArray[np.float32],
    block: NDArray[np.integer],
    source: str,
    goal: str,
) -> Retrieval:
    """Rank all distinct blocks for every item.

    Parameters
    ----------
    queries, answers : float32 [n, dim], unit vectors of the same items
    block : int [n, places], the answers' codes: items with the same ones have the same answer
    """
    _, first, own = np.unique(block, axis=0, return_index=True, return_inverse=True)
    own = own.reshape(-1)
    scores = queries @ answers[first].T  # [n, distinct blocks]
    mine = scores[np.arange(len(own)), own][:, None]
    ahead = (scores > mine).sum(1) + ((scores == mine).sum(1) - 1) / 2  # ties as chance has them
    values = np.stack([ahead < 1, ahead < 10], axis=1).astype(np.float64)
    at_one, at_ten = bootstrap(values)
    gap = float(np.linalg.norm(queries.mean(0) - answers.mean(0)))
    guessed = (1 / len(first), min(1.0, 10 / len(first)))
    return Retrieval(source, goal, len(own), len(first), at_one, at_ten, guessed, gap)
