"""How much each of several scores counts in their sum: a few numbers fitted on validation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mgrec.data.sequences import Sequences
from mgrec.model.device import where
from mgrec.model.experts import Experts
from mgrec.model.generator import Generator
from mgrec.search.beam import beam_search
from mgrec.search.exact import score_items

STEPS = 200  # of the solver, at most
PRIOR = 0.2, 1.5  # a weight is about so much, give or take so many powers of e

# Log-probabilities, float64 [cases, candidates, features], a feature a score; which are
# candidates, bool [cases, candidates]; and the place of the right one, int64 [cases].
Part = tuple[Tensor, Tensor, Tensor]


def learn_weights(
    model: Generator, history: Sequences, targets: NDArray[np.integer], beams: int, rows: int = 128
) -> None:
    """Set ``model.experts.weight`` to what makes the targets likeliest among their candidates.

    It is a conditional logit of the log-probabilities with weights above 0: smooth, where NDCG has
    steps. A weak prior keeps them finite where a score is of no use or cases are few. The generated
    score keeps weight 1, since only ratios matter to a ranking. Candidates are the beam's items,
    every expert's best, as many each, and the history's; a case whose target is none of them says
    nothing.

    Parameters
    ----------
    history : one row a case
    targets : int [cases]
    """
    assert model.experts is not None
    parts = [
        _part(model, history.select(np.arange(at, min(at + rows, len(history)))), found, beams)
        for at, found in zip(
            range(0, len(history), rows), torch.from_numpy(targets).long().split(rows), strict=True
        )
    ]
    log_weight = _likeliest(parts, 1 + len(model.experts.names))
    model.experts.weight.copy_((log_weight[1:] - log_weight[0]).exp())


def weigh(
    experts: Experts,
    places: Sequence[int],
    history: Sequences,
    targets: NDArray[np.integer],
    most: int,
    rows: int = 128,
) -> Tensor:
    """Return float64 [places]: the weights of some experts alone, by the same conditional logit.

    Parameters
    ----------
    places : which of the experts
    most : candidates taken of each
    """
    experts.eval()
    parts = []
    with torch.no_grad():
        for at in range(0, len(history), rows):
            some = history.select(np.arange(at, min(at + rows, len(history))))
            states = experts.states(torch.from_numpy(some.padded()).to(where(experts)))
            each = experts.log_probs(states, places=places).cpu()
            found = torch.from_numpy(targets[at : at + rows]).long()
            candidates, real = _once(_best(each, most))
            parts.append(_told(_of(each, candidates), candidates, real, found))
    return _likeliest(parts, len(places)).exp()


def _likeliest(parts: list[Part], features: int) -> Tensor:
    """Return float64 [features]: the logarithms of the weights."""
    centre, spread = np.log(PRIOR[0]), PRIOR[1]
    log_weight = torch.full((features,), centre, dtype=torch.float64, requires_grad=True)
    solver = torch.optim.LBFGS([log_weight], max_iter=STEPS, line_search_fn="strong_wolfe")
    cases = max(1, sum(len(right) for *_, right in parts))

    def loss() -> Tensor:
        solver.zero_grad()
        each = [_unlikely(*part, log_weight.exp()) for part in parts]
        strange = ((log_weight - centre) / spread).square().sum() / 2
        mean = (torch.stack(each).sum() + strange) / cases
        mean.backward()
        return mean

    solver.step(loss)
    return log_weight.detach()


def _unlikely(features: Tensor, real: Tensor, right: Tensor, weight: Tensor) -> Tensor:
    """Return the summed negative log-likelihood of the right candidates under some weights."""
    scores = (features @ weight).masked_fill(~real, float("-inf"))
    return (scores.logsumexp(1) - scores.gather(1, right[:, None])[:, 0]).sum()


@torch.no_grad()  # and no inference mode: the solver differentiates by what comes of it
def _part(model: Generator, history: Sequences, targets: Tensor, beams: int) -> Part:
    """Return the candidates of the cases whose target is one of them."""
    assert model.experts is not None
    context = model.context(torch.from_numpy(history.padded()))
    assert context.views is not None
    assert context.seen is not None
    experts = model.experts.log_probs(context.views, context.seen)  # [experts, cases, items]
    beam, _ = beam_search(model, context, beams)
    candidates, real = _once(torch.cat([beam, context.seen, _best(experts, beams)], 1))
    generated = score_items(model, context, candidates.masked_fill(~real, -1))
    generated = generated.masked_fill(~real, 0.0)
    if model.config.repeat:  # its normaliser is one for all of a case's candidates
        again = (candidates[..., None] == context.seen[:, None]).any(-1)
        generated = generated + model.repeat * again
    features = torch.cat([generated[..., None], _of(experts, candidates)], 2)
    return _told(features, candidates, real, targets)


def _best(experts: Tensor, most: int) -> Tensor:
    """float32 [experts, cases, items] -> int64 [cases, ...]: each one's best items."""
    best = experts.topk(min(most, experts.shape[2]), dim=2).indices
    return best.transpose(0, 1).flatten(1)


def _once(items: Tensor) -> tuple[Tensor, Tensor]:
    """int64 [cases, n], -1 for none -> the items in order, and bool [cases, n]: which are real and
    not there twice."""
    ordered = items.sort(1).values
    real = ordered >= 0
    real[:, 1:] &= ordered[:, 1:] != ordered[:, :-1]
    return ordered.clamp(min=0), real


def _of(experts: Tensor, candidates: Tensor) -> Tensor:
    """Return float32 [cases, candidates, experts]: the candidates' log-probabilities."""
    return experts.gather(2, candidates.expand(len(experts), -1, -1)).permute(1, 2, 0)


def _told(features: Tensor, candidates: Tensor, real: Tensor, targets: Tensor) -> Part:
    """Return what is known of the cases whose target, int64 [cases], is a candidate."""
    right = (candidates == targets[:, None]) & real
    told = right.any(1)
    return features[told].double(), real[told], right[told].int().argmax(1)
