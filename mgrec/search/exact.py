"""Exact scoring: the probability of every item of the catalogue, the slow and obvious way."""

from __future__ import annotations

import torch
from torch import Tensor

from mgrec.model.decoder import Context
from mgrec.model.generator import Generator


@torch.inference_mode()
def score_items(model: Generator, context: Context, items: Tensor, rows: int = 16384) -> Tensor:
    """Return float32 [users, n]: the log-probability of each user's items, int64 [users, n].

    Items that training never saw have the one that the experts give them, where there are such.
    """
    users, n = items.shape
    if not items.numel():
        return items.new_zeros(users, n).float()
    of_items = context.spread(torch.arange(users, device=items.device).repeat_interleave(n))
    parts = [
        model.log_prob_of_codes(of_items.select(few), items.flatten()[few])
        for few in torch.arange(items.numel(), device=items.device).split(rows)
    ]
    scores = torch.cat(parts).view(users, n)
    shares = model.shares  # one softmax a user here, and not one an item
    if model.experts is None or shares is None or shares.by_content is None:
        return scores
    assert context.views is not None
    new = model.experts.by_content(context.views).gather(1, items) + shares.by_content
    return torch.where(shares.items[items], new, scores)


@torch.inference_mode()
def score_catalogue(model: Generator, context: Context) -> Tensor:
    """Return float32 [users, items]: the log-probability of every item; under the legal softmax
    each row's probabilities sum to one."""
    everything = torch.arange(model.trie.n_items, device=context.start.device)
    return score_items(model, context, everything.expand(context.rows, -1))
