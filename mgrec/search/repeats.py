"""The repeat score inside the search: what a history's items are worth with it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mgrec.data.sequences import Sequences
from mgrec.model.decoder import Context
from mgrec.model.generator import Generator
from mgrec.model.repeat import likeliest, log_normaliser, once, seen_mass
from mgrec.search.exact import score_items


@dataclass(frozen=True)
class Repeats:
    """The items of a history under p' = p exp(b seen) / Z, Z = 1 + (exp b - 1) P(seen).

    Attributes
    ----------
    items : int64 [users, n], each once, -1 behind the last
    scores : float32 [users, n], log p', -inf behind the last
    log_z : float32 [users], what every other item's log-probability loses
    """

    items: Tensor
    scores: Tensor
    log_z: Tensor

    @classmethod
    def of(cls, model: Generator, context: Context) -> Repeats:
        """Score what the contexts' histories hold, exactly."""
        items, scores = generated(model, context)
        log_z = log_normaliser(scores.exp().sum(1), model.repeat)
        return cls(items, scores + model.repeat - log_z[:, None], log_z)


def moved_by_repeat(model: Generator, context: Context, items: Tensor) -> Tensor:
    """Return float32 [rows]: what the repeat score adds to one item's log-probability a row."""
    assert context.seen is not None
    seen, scores = generated(model, context)
    again = (seen == items[:, None]).any(1)
    return again * model.repeat - log_normaliser(scores.exp().sum(1), model.repeat)


def generated(model: Generator, context: Context) -> tuple[Tensor, Tensor]:
    """Return each history's items once, int64 [users, n], and log p without a repeat score."""
    assert context.seen is not None
    items = once(context.seen)
    return items, score_items(model, context, items)


def learn_repeat(
    model: Generator, history: Sequences, targets: NDArray[np.integer], rows: int = 128
) -> None:
    """Set ``model.repeat``, and that of every expert, to its likeliest value.

    They are learnt on cases that the model was not trained on. Each is one number, so a sample of
    cases tells it well, and nothing need be trained anew. What is believed before (about 0, give or
    take 5) keeps it finite where nothing ever returns.

    Parameters
    ----------
    history : one row a case
    targets : int [cases]
    """
    masses, returned = [], []
    for at in range(0, len(history), rows):
        part = history.select(np.arange(at, min(at + rows, len(history))))
        with torch.inference_mode():
            context = model.context(torch.from_numpy(part.padded()))
            items, scores = generated(model, context)
            each = [scores.exp().sum(1)]
            if model.experts is not None and context.views is not None:
                others = model.experts.log_probs(context.views)
                each += [seen_mass(found, items) for found in others]
        masses.append(torch.stack(each))
        right = torch.from_numpy(targets[at : at + rows]).long()
        returned.append((items == right[:, None]).any(1))
    again = torch.cat(returned)
    own, *theirs = (likeliest(mass, again) for mass in torch.cat(masses, 1).double())
    model.repeat.fill_(own)
    if model.experts is not None:
        model.experts.repeat.copy_(torch.tensor(theirs))
