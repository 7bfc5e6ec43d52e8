"""How much each expert counts beside the generated score: a few numbers chosen on validation."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mgrec.data.sequences import Sequences
from mgrec.model.generator import Generator
from mgrec.search.beam import beam_search
from mgrec.search.exact import score_items

# Only ratios count, so that a climb may leave the grid, by factors.
GRID = (0.0, 0.1, 0.2, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 5.6, 8.0, 11.0, 16.0)
FACTORS = (0.25, 0.5, 0.7, 1.4, 2.0, 4.0)  # of all experts at once, against the generated score
STARTS = (1.0, 2.0, 4.0, 8.0)  # of all experts
ROUNDS = 10  # at most, from each start

Part = tuple[Tensor, Tensor]  # what `_gains` returns


def learn_weights(
    model: Generator, history: Sequences, targets: NDArray[np.integer], beams: int, rows: int = 128
) -> None:
    """Set ``model.experts.weight`` to the best by NDCG@10 that a climb from several starts finds.

    The generated score keeps weight 1, since only ratios matter to a ranking. Candidates are the
    beam's items, every expert's best, as many each, and the history's.

    Parameters
    ----------
    history : one row a case
    targets : int [cases]
    """
    assert model.experts is not None
    parts = [
        _gains(model, history.select(np.arange(at, min(at + rows, len(history)))), found, beams)
        for at, found in zip(
            range(0, len(history), rows), torch.from_numpy(targets).long().split(rows), strict=True
        )
    ]
    climbs = [_climb(parts, torch.full((len(model.experts.names),), start)) for start in STARTS]
    model.experts.weight.copy_(max(climbs, key=lambda w: _mean_ndcg(parts, w)))


def _climb(parts: list[Part], weight: Tensor) -> Tensor:
    """Move one weight, or all by one factor, for as long as that gains."""
    for _ in range(ROUNDS):
        before = weight
        for expert in torch.eye(len(weight)):
            tried = [weight * (1 - expert) + value * expert for value in GRID]
            weight = max([weight, *tried], key=lambda w: _mean_ndcg(parts, w))
        tried = [weight * factor for factor in FACTORS]
        weight = max([weight, *tried], key=lambda w: _mean_ndcg(parts, w))
        if torch.equal(weight, before):
            break
    return weight


def _mean_ndcg(parts: list[Part], weight: Tensor) -> float:
    return sum(_ndcg(*part, weight) for part in parts) / sum(len(right) for _, right in parts)


@torch.inference_mode()
def _gains(model: Generator, history: Sequences, targets: Tensor, beams: int) -> Part:
    """Return candidates' log-probabilities [cases, candidates, 1 + experts], and which is right."""
    assert model.experts is not None
    context = model.context(torch.from_numpy(history.padded()))
    assert context.views is not None
    assert context.seen is not None
    experts = model.experts.log_probs(context.views, context.seen)  # [experts, cases, items]
    beam, _ = beam_search(model, context, beams)
    best = experts.topk(min(beams, experts.shape[2]), dim=2).indices  # [experts, cases, beams]
    candidates = torch.cat([beam, context.seen, *best], 1).clamp(min=0).sort(1).values
    repeated = torch.zeros_like(candidates, dtype=torch.bool)
    repeated[:, 1:] = candidates[:, 1:] == candidates[:, :-1]
    generated = score_items(model, context, candidates)
    if model.config.repeat:  # its normaliser is one for all of a case's candidates
        generated += model.repeat * (candidates[..., None] == context.seen[:, None]).any(-1)
    generated = generated.masked_fill(repeated, float("-inf"))
    each = experts.gather(2, candidates.expand(len(experts), -1, -1))
    right = (candidates == targets[:, None]) & ~repeated
    return torch.cat([generated[None], each]).permute(1, 2, 0), right


def _ndcg(features: Tensor, right: Tensor, weight: Tensor) -> float:
    """Return the summed NDCG@10 under some weights."""
    scores = features[..., 0] + features[..., 1:] @ weight
    target = scores.masked_fill(~right, float("-inf")).max(1, keepdim=True).values
    rank = (scores > target).sum(1)
    found = right.any(1) & (rank < 10)
    return float((found / torch.log2(rank + 2.0)).sum())
