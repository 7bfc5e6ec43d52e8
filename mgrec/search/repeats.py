"""The repeat score: how much likelier, or less likely, a user takes an item for a second time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mgrec.data.sequences import Sequences
from mgrec.model.decoder import Context
from mgrec.model.generator import Generator
from mgrec.search.exact import score_items

SPREAD = 5.0  # standard deviation of what is believed of the score before any data
FAR = 20.0  # it lies nearer to 0 than this


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
    scores = score_items(model, context, items.clamp(min=0))
    return items, scores.masked_fill(items < 0, float("-inf"))


def once(items: Tensor) -> Tensor:
    """int64 [rows, n], -1 for none -> the same with every item once a row, -1 behind."""
    ordered = items.sort(dim=1, descending=True).values
    again = torch.zeros_like(ordered, dtype=torch.bool)
    again[:, 1:] = ordered[:, 1:] == ordered[:, :-1]
    return ordered.masked_fill(again, -1).sort(dim=1, descending=True).values


def log_normaliser(mass: Tensor, repeat: Tensor) -> Tensor:
    """Return log Z from P(seen), float32 [users]."""
    return torch.log1p(torch.expm1(repeat) * mass.clamp(max=1))


def learn_repeat(
    model: Generator, history: Sequences, targets: NDArray[np.integer], rows: int = 256
) -> None:
    """Set ``model.repeat`` to its likeliest value on cases that the model was not trained on.

    It is one number, so a sample of cases tells it well, and the model need not be trained anew.
    What is believed before (about 0, give or take 5) keeps it finite where nothing ever returns.

    Parameters
    ----------
    history : one row a case
    targets : int [cases]
    """
    recent = history.last(model.config.history)
    mass, returned = [], []
    for at in range(0, len(recent), rows):
        part = recent.select(np.arange(at, min(at + rows, len(recent))))
        with torch.inference_mode():
            items, scores = generated(model, model.context(torch.from_numpy(part.padded())))
        mass.append(scores.exp().sum(1))
        right = torch.from_numpy(targets[at : at + rows]).long()
        returned.append((items == right[:, None]).any(1))
    model.repeat.fill_(likeliest(torch.cat(mass).double(), torch.cat(returned)))


def likeliest(mass: Tensor, returned: Tensor) -> float:
    """Return the b that maximises sum(b returned - log Z) - (b / SPREAD)^2 / 2, by bisection.

    Parameters
    ----------
    mass : float64 [cases], P(seen) before the score
    returned : bool [cases], whether the target was a seen item
    """
    low, high = -FAR, FAR
    while high - low > 1e-6:
        b = (low + high) / 2
        odds = mass.clamp(max=1) * np.exp(b)
        slope = (returned.double() - odds / (odds + 1 - mass.clamp(max=1))).sum() - b / SPREAD**2
        low, high = (b, high) if slope > 0 else (low, b)
    return (low + high) / 2
