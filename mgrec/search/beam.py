"""Catalogue-constrained beam search: only codes that lead to an allowed item are ever looked at."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mgrec.ids.filters import Filter
from mgrec.model.decoder import Context
from mgrec.model.generator import Generator
from mgrec.model.products import recurring_shapes


@dataclass(frozen=True, eq=False)
class Found:
    """What a search has found.

    Attributes
    ----------
    items : int64 [users, found], best first, -1 behind the last
    scores : float32 [users, found], -inf behind the last
    bound : float32 [users], no allowed item that was not found scores higher; -inf: there is none
    """

    items: Tensor
    scores: Tensor
    bound: Tensor


def beam_search(
    model: Generator, context: Context, beams: int, allow: Filter | None = None
) -> tuple[Tensor, Tensor]:
    """Return items and scores of `search`."""
    found = search(model, context, beams, allow)
    return found.items, found.scores


@torch.inference_mode()
def search(model: Generator, context: Context, beams: int, allow: Filter | None = None) -> Found:
    """Generate the likeliest items of each context.

    A filter masks and does not renormalise: scores stay log-probabilities of the whole catalogue.
    Under the legal softmax a beam with one catalogue item left under it is finished. A prefix is
    at least as likely as whatever it leads to, so that the best one ever dropped is the bound.

    Parameters
    ----------
    context : one row a user
    beams : prefixes kept a user, and the most items returned
    allow : items that may come out; a row a user where it names them
    """
    trie, users = model.trie, context.rows
    state = model.decoder.begin(context)
    device = context.start.device
    node = torch.zeros(users, 1, dtype=torch.int64, device=device)  # [users, width]
    score = torch.zeros(users, 1, device=device)
    found = torch.full((users, 1), -1, dtype=torch.int64, device=device)  # a finished beam's item
    row_user = torch.arange(users, device=device)  # [rows]: the beams still growing
    row_slot = torch.zeros_like(row_user)
    bound = torch.full((users,), float("-inf"), device=device)
    x, which = context.start, None
    for level in range(trie.depth):
        full = len(row_user) == score.numel()
        with recurring_shapes(full):
            hidden = model.decoder.step(state, x, row_user, which)
            children, step = model.next_codes(level, hidden, node[row_user, row_slot])
        step = step + score[row_user, row_slot][:, None]
        if allow is not None:
            allow.bar(level, children, row_user, step)

        # A finished beam is its own only child; the others compete with all of theirs.
        width, most = score.shape[1], children.width
        if full:
            grown = step.view(users, width, most)
        else:
            grown = torch.full((users, width, most), float("-inf"), device=device)
            grown[..., 0] = score.masked_fill(found < 0, float("-inf"))
            grown[row_user, row_slot] = step
        score, best, dropped = best_of(grown.flatten(1), beams)
        bound = torch.maximum(bound, dropped)
        parent, child = best // most, best % most

        row_of = torch.zeros(users, width, dtype=torch.int64, device=device)
        row_of[row_user, row_slot] = torch.arange(len(row_user), device=device)
        parent_row = row_of.gather(1, parent)
        found = found.gather(1, parent)
        node = (children.begin[parent_row] + child).clamp_(max=len(trie.levels[level].code) - 1)
        leaf, end = trie.levels[level].span(node)
        ended = torch.full_like(found, level == trie.depth - 1, dtype=torch.bool)
        if model.legal:
            ended |= end - leaf == 1
        ended &= (found < 0) & (score > float("-inf"))
        found = torch.where(ended, trie.item_of_leaf[leaf].long(), found)

        growing = (found < 0) & (score > float("-inf"))
        if not bool(growing.any()):
            break
        row_user, row_slot = growing.nonzero(as_tuple=True)
        state.follow(parent_row[row_user, row_slot])
        x, which = model.embed_codes(level, node[row_user, row_slot])
    return Found(found, score, bound)


def best_of(scores: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the k best of [rows, n] with their places, the earlier place first where they tie.

    The third, [rows], is the best of the others, -inf where there are none.
    """
    k = min(k, scores.shape[1])
    values, places = scores.topk(min(k + 1, scores.shape[1]), dim=1)
    if values.shape[1] > k:
        others, values, places = values[:, k], values[:, :k], places[:, :k].clone()
    else:
        others = torch.full_like(values[:, 0], float("-inf"))
    # Where more are as good as the last, `topk` takes any of them.
    torn = (others == values[:, -1]) & (others > float("-inf"))
    for row in torn.nonzero()[:, 0].tolist():
        places[row] = scores[row].argsort(descending=True, stable=True)[:k]
    places = places.sort(dim=1).values
    values, order = scores.gather(1, places).sort(dim=1, descending=True, stable=True)
    return values, places.gather(1, order), others
