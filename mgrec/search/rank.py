"""Ranking: the best allowed items of a history, by generated and experts' scores together."""

from __future__ import annotations

import torch
from torch import Tensor

from mgrec.ids.filters import Filter
from mgrec.model.decoder import Context
from mgrec.model.generator import Generator
from mgrec.search.beam import Found, search
from mgrec.search.exact import score_items


def rank(
    model: Generator, context: Context, k: int, beams: int, allow: Filter | None = None
) -> tuple[Tensor, Tensor]:
    """Return items and scores of `ranked`."""
    found = ranked(model, context, k, beams, allow)
    return found.items, found.scores


@torch.inference_mode()
def ranked(
    model: Generator, context: Context, k: int, beams: int, allow: Filter | None = None
) -> Found:
    """Find the k best items of each context; [users, k].

    Without experts this is the beam search. With them, the candidates are the beam's items and as
    many of the experts' best; every candidate gets both scores exactly, and their weighted sum
    (a product of experts, not normalised) ranks them. The bound is of what is no candidate.
    """
    beams = max(beams, k)
    found = search(model, context, beams, allow)
    if model.experts is not None:
        found = _with_experts(model, context, found, beams, allow)
    short = max(0, k - found.items.shape[1])
    items = torch.nn.functional.pad(found.items, (0, short), value=-1)
    scores = torch.nn.functional.pad(found.scores, (0, short), value=float("-inf"))
    return Found(items[:, :k], scores[:, :k], found.bound)


def _with_experts(
    model: Generator, context: Context, found: Found, beams: int, allow: Filter | None
) -> Found:
    """Add the experts' candidates and scores to what the beam search has found."""
    assert model.experts is not None
    items, scores = found.items, found.scores
    dense = model.experts.combined(context.start)  # [users, items]
    wanted = dense
    if allow is not None:
        wanted = dense.masked_fill(~allow.items(context.rows), float("-inf"))
    # What the beam has found is not looked for again.
    wanted = wanted.scatter(1, items.clamp(min=0), float("-inf"))
    best, more = wanted.topk(min(beams, wanted.shape[1]), dim=1)
    generated = score_items(model, context, more).masked_fill(best.isinf(), float("-inf"))
    both = torch.cat([items.masked_fill(scores.isinf(), -1), more.masked_fill(best.isinf(), -1)], 1)
    total = torch.cat([scores, generated], 1) + dense.gather(1, both.clamp(min=0))
    total = total.masked_fill(both < 0, float("-inf"))
    order = total.argsort(dim=1, descending=True, stable=True)
    # What is no candidate is below the best dropped prefix, and below the experts' last choice.
    rest = wanted.scatter(1, more, float("-inf")) > float("-inf")
    bound = torch.maximum(found.bound, _newest(model, context, rest)) + best[:, -1]
    return Found(both.gather(1, order), total.gather(1, order), bound)


def _newest(model: Generator, context: Context, rest: Tensor) -> Tensor:
    """Return float32 [users]: the best score of items that no prefix leads to, as training never
    saw them and content alone scores them; of those that bool [users, items] names."""
    shares = model.shares
    if model.experts is None or shares is None or shares.by_content is None:
        return torch.full((context.rows,), float("-inf"), device=rest.device)
    scores = model.experts.by_content(context.start) + shares.by_content
    return scores.masked_fill(~(rest & shares.items), float("-inf")).amax(1)
