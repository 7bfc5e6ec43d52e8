"""The repeat score: how much likelier, or less likely, a user takes an item for a second time.

A distribution p becomes p' = p exp(b seen) / Z, Z = 1 + (exp b - 1) P(seen).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

SPREAD = 5.0  # standard deviation of what is believed of the score before any data
FAR = 20.0  # it lies nearer to 0 than this


def once(items: Tensor) -> Tensor:
    """int64 [rows, n], -1 for none -> the same with every item once a row, -1 behind."""
    ordered = items.sort(dim=1, descending=True).values
    again = torch.zeros_like(ordered, dtype=torch.bool)
    again[:, 1:] = ordered[:, 1:] == ordered[:, :-1]
    return ordered.masked_fill(again, -1).sort(dim=1, descending=True).values


def log_normaliser(mass: Tensor, repeat: Tensor) -> Tensor:
    """Return log Z from P(seen), float32 [users]."""
    mass = mass.clamp(max=1)
    return torch.logaddexp(torch.log1p(-mass), mass.log() + repeat)


def moved(log_probs: Tensor, seen: Tensor, repeat: Tensor) -> Tensor:
    """Return float32 [rows, items], log p', from log p and the histories' items, each once.

    Parameters
    ----------
    seen : int64 [rows, n], -1 for none
    repeat : float32 [], b
    """
    mass = seen_mass(log_probs, seen)
    padded = torch.nn.functional.pad(log_probs, (0, 1))  # what stands for no item goes there
    padded.scatter_add_(1, seen.where(seen >= 0, log_probs.shape[1]), repeat.expand(seen.shape))
    return padded[:, :-1] - log_normaliser(mass, repeat)[:, None]


def seen_mass(log_probs: Tensor, seen: Tensor) -> Tensor:
    """Return float32 [rows], P(seen), from log p [rows, items] and the items, each once."""
    found = log_probs.gather(1, seen.clamp(min=0)).masked_fill(seen < 0, float("-inf"))
    return found.exp().sum(1)


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
