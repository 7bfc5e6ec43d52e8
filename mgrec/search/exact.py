"""Exact scoring: the log-probability of named items, or of the whole catalogue."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from mgrec.model.decoder import Context
from mgrec.model.generator import Generator

ROWS = 4096  # items scored at once


@torch.inference_mode()
def score_items(model: Generator, context: Context, items: Tensor, rows: int = ROWS) -> Tensor:
    """Return float32 [users, n]: the log-probability of each user's items, int64 [users, n].

    Items that training never saw have the one that the experts give them, where there are such.
    The score of -1, which means no item, is -inf and costs nothing.

    Parameters
    ----------
    rows : items scored at once, which bounds the memory
    """
    real = items >= 0
    scores = torch.full(items.shape, float("-inf"), device=items.device)
    if not bool(real.any()):
        return scores
    leaf = model.trie.leaf_of_item[items.clamp(min=0)].long().masked_fill(~real, -1)
    order = leaf.argsort(dim=1)  # items that share a prefix stand together
    owner, place = real.gather(1, order).nonzero(as_tuple=True)
    place = order[owner, place]
    parts = [
        _by_prefix(model, context, of, some)
        for of, some in zip(owner.split(rows), items[owner, place].split(rows), strict=True)
    ]
    scores[owner, place] = torch.cat(parts)
    shares = model.shares  # one softmax a user here, and not one an item
    if model.experts is None or shares is None or shares.by_content is None:
        return scores
    assert context.views is not None
    known = items.clamp(min=0)
    new = model.experts.by_content(context.views).gather(1, known) + shares.by_content
    return torch.where(shares.items[known] & real, new, scores)


def _by_prefix(model: Generator, context: Context, owner: Tensor, items: Tensor) -> Tensor:
    """Return float32 [n]: the log-probability of generating items; a shared prefix is decoded once.

    Parameters
    ----------
    owner : int64 [n], ascending: the context's row of each item
    items : int64 [n], of one owner in the order of the trie's leaves
    """
    few, row = owner.unique_consecutive(return_inverse=True)
    context = replace(context, views=None, seen=None).select(few)
    trie, state = model.trie, model.decoder.begin(context)
    user = torch.arange(context.rows, device=items.device)  # of each decoded prefix
    node = torch.zeros_like(user)
    x, which = context.start, None
    total = torch.zeros(len(items), device=items.device)
    left = torch.arange(len(items), device=items.device)  # items that need further codes
    for level in range(trie.depth):
        hidden = model.decoder.step(state, x, user, which)
        children, log_prob = model.next_codes(level, hidden, node)
        below = trie.nodes_of(items[left], level).long()
        total[left] += log_prob[row, below - children.begin[row]]
        if model.legal:  # a code without an alternative costs nothing
            on = trie.decided[items[left]] > level + 1
            left, row, below = left[on], row[on], below[on]
        if not len(left) or level + 1 == trie.depth:
            break
        opens = torch.ones_like(row, dtype=torch.bool)
        opens[1:] = (row[1:] != row[:-1]) | (below[1:] != below[:-1])
        parents, node = row[opens], below[opens]
        row = opens.cumsum(0) - 1
        state.follow(parents)
        user = user[parents]
        x, which = model.embed_codes(level, node)
    return total


@torch.inference_mode()
def score_catalogue(model: Generator, context: Context) -> Tensor:
    """Return float32 [users, items]: the log-probability of every item, each decoded by itself.

    This is the slow reference for tests. Under the legal softmax each row's
    probabilities sum to one.
    """
    everything = torch.arange(model.trie.n_items, device=context.start.device)
    rows = []
    for user in range(context.rows):
        one = context.select(torch.full_like(everything, user))
        rows.append(model.log_prob(one, everything))
    return torch.stack(rows)
