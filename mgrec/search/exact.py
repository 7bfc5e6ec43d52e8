"""Exact scoring: the probability of every item of the catalogue, the slow and obvious way."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from mgrec.model.decoder import Context
from mgrec.model.generator import Generator


@torch.inference_mode()
def score_items(model: Generator, context: Context, items: Tensor, rows: int = 16384) -> Tensor:
    """Return float32 [users, n]: the log-probability of each user's items, int64 [users, n]."""
    users, n = items.shape
    context = replace(context, views=None, seen=None)  # not to be copied for every item
    owner = torch.arange(users, device=items.device).repeat_interleave(n)
    flat = items.flatten()
    parts = [
        model.log_prob(context.select(owner[at : at + rows]), flat[at : at + rows])
        for at in range(0, len(flat), rows)
    ]
    return torch.cat(parts).view(users, n) if parts else items.new_zeros(users, n).float()


@torch.inference_mode()
def score_catalogue(model: Generator, context: Context) -> Tensor:
    """Return float32 [users, items]: the log-probability of every item; under the legal softmax
    each row's probabilities sum to one."""
    everything = torch.arange(model.trie.n_items, device=context.start.device)
    return score_items(model, context, everything.expand(context.rows, -1))
