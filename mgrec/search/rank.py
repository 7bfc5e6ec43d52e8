"""Ranking: the best allowed items of a history, by all that the model has to say of them."""

from __future__ import annotations

import torch
from torch import Tensor

from mgrec.ids.filters import Filter
from mgrec.model.decoder import Context
from mgrec.model.generator import Generator
from mgrec.search.beam import beam_search
from mgrec.search.exact import score_items
from mgrec.search.repeats import Repeats


@torch.inference_mode()
def rank(
    model: Generator, context: Context, k: int, beams: int, allow: Filter | None = None
) -> tuple[Tensor, Tensor]:
    """Return the k best items of each context.

    Without experts and repeat score this is the beam search. A repeat score takes the history's
    items out of the search and scores them one by one, so that all are ranked by what they are
    worth with it. With experts the candidates are those and as many of the experts' best; every
    candidate gets both scores exactly, and their weighted sum (a product of experts, not
    normalised) ranks them.

    Returns
    -------
    items : int64 [users, k], best first, -1 behind the last
    scores : float32 [users, k], -inf behind the last
    """
    beams = max(beams, k)
    repeats = Repeats.of(model, context) if model.config.repeat else None
    fresh = allow
    if repeats is not None:
        fresh = (Filter.of(model.trie) if allow is None else allow).without(repeats.items)
    items, scores = beam_search(model, context, beams, fresh)
    dense: Tensor | None = None  # [users, items]
    if model.experts is not None and context.views is not None:
        dense = model.experts.combined(context.views)
        more = _best(dense, items.masked_fill(scores.isinf(), -1), beams, fresh)
        items = torch.cat([items.masked_fill(scores.isinf(), -1), more], 1)
        scores = torch.cat([scores, score_items(model, context, more.clamp(min=0))], 1)
    if repeats is not None:
        again = _allowed(repeats.items, allow)
        items = torch.cat([items, again], 1)
        scores = torch.cat([scores - repeats.log_z[:, None], repeats.scores], 1)
    if dense is not None:
        scores = scores + dense.gather(1, items.clamp(min=0))
    items, scores = _sorted(items, scores)
    short = k - items.shape[1]
    if short > 0:
        items = torch.nn.functional.pad(items, (0, short), value=-1)
        scores = torch.nn.functional.pad(scores, (0, short), value=float("-inf"))
    return items[:, :k], scores[:, :k]


def _best(dense: Tensor, found: Tensor, most: int, allow: Filter | None) -> Tensor:
    """Return the allowed items that the experts rank first, int64 [users, most], -1 behind.

    Parameters
    ----------
    dense : float32 [users, items]
    found : int64 [users, n], items that are candidates already, -1 for none
    """
    if allow is None:
        wanted = dense.clone()
    else:
        wanted = dense.masked_fill(~allow.items(len(dense)), float("-inf"))
    rows = torch.arange(len(found), device=found.device)[:, None].expand_as(found)
    wanted[rows[found >= 0], found[found >= 0]] = float("-inf")
    best, items = wanted.topk(min(most, wanted.shape[1]), dim=1)
    return items.masked_fill(best.isinf(), -1)


def _allowed(items: Tensor, allow: Filter | None) -> Tensor:
    """int64 [users, n], -1 for none -> the same without those that the filter does not allow."""
    if allow is None:
        return items
    allowed = allow.items(len(items)).gather(1, items.clamp(min=0))
    return items.masked_fill(~allowed, -1)


def _sorted(items: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
    """Put the best first, equal ones as they stand, and -1 with -inf behind."""
    scores = scores.masked_fill(items < 0, float("-inf"))
    order = scores.argsort(dim=1, descending=True, stable=True)
    items, scores = items.gather(1, order), scores.gather(1, order)
    return items.masked_fill(scores.isinf(), -1), scores
