"""Candidates: the beam's, the experts' and the history's, ranked by all that is said of them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from mgrec.ids.filters import Filter
from mgrec.model.decoder import Context
from mgrec.model.generator import Generator
from mgrec.search.beam import Found, search
from mgrec.search.exact import score_items
from mgrec.search.repeats import Repeats


@torch.inference_mode()
def ranked(
    model: Generator, context: Context, k: int, beams: int, allow: Filter | None = None
) -> Found:
    """Find the k best items of each context; [users, k].

    Without experts and repeat score this is the beam search. A repeat score takes the history's
    items out of the search and scores them one by one, so that all are ranked by what they are
    worth with it. With experts the candidates are those and as many of the experts' best; every
    candidate gets both scores exactly, and their weighted sum (a product of experts, not
    normalised) ranks them. The bound is of what is no candidate.
    """
    beams = max(beams, k)
    repeats = Repeats.of(model, context) if model.config.repeat else None
    fresh = allow
    if repeats is not None:
        fresh = (Filter.of(model.trie) if allow is None else allow).without(repeats.items)
    found = search(model, context, beams, fresh)
    dense: Tensor | None = None  # [users, items]
    if model.experts is not None and context.views is not None and model.experts.weight.any():
        dense = model.experts.combined(context.views, context.seen)
        found = _with_best(model, context, found, dense, beams, fresh)
    if repeats is not None:
        found = _with_seen(found, repeats, allow)
    if dense is not None:
        scores = found.scores + dense.gather(1, found.items.clamp(min=0))
        found = Found(found.items, scores, found.bound)
    return _first(found, k)


def _with_best(
    model: Generator,
    context: Context,
    found: Found,
    dense: Tensor,
    most: int,
    allow: Filter | None,
) -> Found:
    """Add the allowed items that the experts rank first, with their generated scores.

    What is no candidate then is below the best dropped prefix and below the experts' last choice.
    """
    if allow is None:
        wanted = dense.clone()
    else:
        wanted = dense.masked_fill(~allow.items(len(dense)).to(dense.device), float("-inf"))
    # What the search has found is not looked for again.
    user, place = (found.items >= 0).nonzero(as_tuple=True)
    wanted[user, found.items[user, place]] = float("-inf")
    best, items = wanted.topk(min(most, wanted.shape[1]), dim=1)
    rest = wanted.scatter(1, items, float("-inf")) > float("-inf")
    return Found(
        torch.cat([found.items, items.masked_fill(best.isinf(), -1)], 1),
        torch.cat([found.scores, score_items(model, context, items)], 1),
        torch.maximum(found.bound, _newest(model, context, rest)) + best[:, -1],
    )


def _newest(model: Generator, context: Context, rest: Tensor) -> Tensor:
    """Return float32 [users]: the best score of items that no prefix leads to, as training never
    saw them and content alone scores them; of those that bool [users, items] names."""
    shares = model.shares
    if model.experts is None or shares is None or shares.by_content is None:
        return torch.full((context.rows,), float("-inf"), device=rest.device)
    assert context.views is not None
    scores = model.experts.by_content(context.views) + shares.by_content
    return scores.masked_fill(~(rest & shares.items), float("-inf")).amax(1)


def _with_seen(found: Found, repeats: Repeats, allow: Filter | None) -> Found:
    """Add the allowed items of the histories; every other loses what they gain, or gains it."""
    items = repeats.items
    if allow is not None:
        allowed = allow.items(len(items)).to(items.device).gather(1, items.clamp(min=0))
        items = items.masked_fill(~allowed, -1)
    log_z = repeats.log_z
    return Found(
        torch.cat([found.items, items], 1),
        torch.cat([found.scores - log_z[:, None], repeats.scores], 1),
        found.bound - log_z,
    )


def _first(found: Found, k: int) -> Found:
    """Keep the k best, equal ones as they stand, and -1 with -inf behind."""
    scores = found.scores.masked_fill(found.items < 0, float("-inf"))
    order = scores.argsort(dim=1, descending=True, stable=True)[:, :k]
    items, scores = found.items.gather(1, order), scores.gather(1, order)
    short = max(0, k - items.shape[1])
    items = pad(items.masked_fill(scores.isinf(), -1), (0, short), value=-1)
    return Found(items, pad(scores, (0, short), value=float("-inf")), found.bound)
