"""Experts' weights: what they were drawn by is found again."""

import numpy as np
import pytest
import torch

from mgrec.data.sequences import Sequences
from mgrec.search.exact import score_catalogue
from mgrec.search.weights import learn_weights
from tests.planted import FUSIONS, tiny_generator

ITEMS = 40


def drawn_by(weight, cases=3000, seed=0):
    """A model with two experts, histories, and targets as likely as the weighted sum says."""
    torch.manual_seed(seed)
    model = tiny_generator(FUSIONS["text"], items=ITEMS, experts={"views": ("id", "text")}).eval()
    with torch.no_grad():  # untrained, it would say next to nothing
        model.outputs.weight.mul_(30)
        for name in ("id", "text"):
            model.experts[name].stack.norm.weight.mul_(20)
    rng = np.random.default_rng(seed)
    histories = Sequences.of([rng.integers(0, ITEMS, rng.integers(1, 6)) for _ in range(cases)])
    with torch.inference_mode():
        context = model.context(torch.from_numpy(histories.padded()))
        known = model.experts.log_probs(context.views, context.seen)
        total = score_catalogue(model, context)
        total = total + torch.einsum("e,eri->ri", torch.tensor(weight), known)
        targets = total.softmax(1).multinomial(1)[:, 0].numpy()
    return model, histories, targets


@pytest.mark.slow
@pytest.mark.parametrize("weight", [[0.5, 2.0], [1.0, 1.0], [2.0, 0.0]])
def test_the_weights_that_targets_were_drawn_by_are_found(weight):
    model, histories, targets = drawn_by(weight)
    learn_weights(model, histories, targets, beams=ITEMS)
    assert model.experts.weight.tolist() == pytest.approx(weight, abs=0.25)


@pytest.mark.slow
@pytest.mark.parametrize("cases", [2, 5, 2000])
def test_weights_stay_finite_where_the_generated_score_is_useless_or_cases_are_few(cases):
    model, histories, _ = drawn_by([1.0, 1.0], cases=cases)
    with torch.inference_mode():
        context = model.context(torch.from_numpy(histories.padded()))
        known = model.experts.log_probs(context.views, context.seen)
    targets = known.sum(0).softmax(1).multinomial(1)[:, 0].numpy()
    learn_weights(model, histories, targets, beams=ITEMS)
    assert (model.experts.weight < 1e3).all()
    assert (model.experts.weight > (3 if cases > 1000 else 0)).all()


def test_the_batch_that_cases_come_in_does_not_matter():
    found = []
    for rows in (7, 500):
        model, histories, targets = drawn_by([0.5, 1.5], cases=300)
        learn_weights(model, histories, targets, beams=5, rows=rows)
        found.append(model.experts.weight)
    torch.testing.assert_close(*found, atol=1e-3, rtol=1e-3)


def test_cases_whose_target_nobody_proposes_say_nothing():
    model, histories, _ = drawn_by([0.5, 1.5], cases=50)
    learn_weights(model, histories, np.full(50, -1), beams=5)
    assert torch.allclose(model.experts.weight, torch.ones(2))
