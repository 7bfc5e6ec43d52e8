"""Ranking: the best allowed items of a history, by generated and experts' scores together."""

from __future__ import annotations

import torch
from torch import Tensor

from mgrec.ids.filters import Filter
from mgrec.model.decoder import Context
from mgrec.model.generator import Generator
from mgrec.search.beam import beam_search
from mgrec.search.exact import score_items


@torch.inference_mode()
def rank(
    model: Generator, context: Context, k: int, beams: int, allow: Filter | None = None
) -> tuple[Tensor, Tensor]:
    """Return the k best items of each context.

    Without experts this is the beam search. With them, the candidates are the beam's items and as
    many of the experts' best; every candidate gets both scores exactly, and their weighted sum
    (a product of experts, not normalised) ranks them.

    Returns
    -------
    items : int64 [users, k], best first, -1 behind the last
    scores : float32 [users, k], -inf behind the last
    """
    beams = max(beams, k)
    items, scores = beam_search(model, context, beams, allow)
    if model.experts is not None:
        items, scores = _with_experts(model, context, items, scores, beams, allow)
    short = k - items.shape[1]
    if short > 0:
        items = torch.nn.functional.pad(items, (0, short), value=-1)
        scores = torch.nn.functional.pad(scores, (0, short), value=float("-inf"))
    return items[:, :k], scores[:, :k]


def _with_experts(
    model: Generator,
    context: Context,
    items: Tensor,  # int64 [users, found], the beam's
    scores: Tensor,  # float32 [users, found]
    beams: int,
    allow: Filter | None,
) -> tuple[Tensor, Tensor]:
    assert model.experts is not None
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
    return both.gather(1, order), total.gather(1, order)
