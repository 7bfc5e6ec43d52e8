"""The repeat score: exact inside the search, and as likely as what it was learned on."""

import numpy as np
import pytest
import torch

from mgrec import Recommender
from mgrec.data.sequences import Sequences
from mgrec.data.worlds import make_world
from mgrec.ids.filters import Filter
from mgrec.model.repeat import likeliest, log_normaliser, once
from mgrec.search.candidates import ranked
from mgrec.search.exact import score_catalogue
from mgrec.search.repeats import learn_repeat
from tests.planted import tiny_generator

HISTORIES = torch.tensor([[3, 4, 3, 6], [150, 7, -1, -1], [9, -1, -1, -1]])
SEEN = [{3, 4, 6}, {150, 7}, {9}]


def exact(model, context):
    """log p' of every item, by the formula."""
    score = score_catalogue(model, context)
    for row, seen in enumerate(SEEN):
        held = sorted(seen)
        mass = score[row, held].exp().sum()
        score[row, held] += model.repeat
        score[row] -= torch.log1p(torch.expm1(model.repeat) * mass)
    return score


def apart(model, context):
    """Every expert's distribution with its own repeat score, weighted, spelled out."""
    total = 0
    for expert, log_prob in enumerate(model.experts.log_probs(context.views)):
        raised = log_prob.clone()
        for row, held in enumerate(HISTORIES):
            raised[row, held[held >= 0].unique()] += model.experts.repeat[expert]
        total = total + model.experts.weight[expert] * raised.log_softmax(-1)
    return total


@pytest.mark.parametrize("score", [-9.0, -1.0, 0.0, 4.0])
@pytest.mark.parametrize("views", [(), ("id", "text")])
@pytest.mark.parametrize("share", [None, 0.3])
def test_the_search_ranks_by_it_exactly(score, views, share):
    torch.manual_seed(0)
    model = tiny_generator(repeat=True, experts={"views": views})
    model.repeat.fill_(score)
    if views:
        model.experts.repeat.copy_(torch.tensor([score / 2, -2.0]))
        model.experts.weight.copy_(torch.tensor([0.7, 1.5]))
    with torch.inference_mode():
        context = model.context(HISTORIES)
        wanted = exact(model, context)
        torch.testing.assert_close(wanted.exp().sum(1), torch.ones(3))
        if views:
            wanted += apart(model, context)
    keep = torch.ones(200, dtype=torch.bool) if share is None else torch.rand(200) < share
    keep[3] = True
    wanted = wanted.masked_fill(~keep, float("-inf"))
    allow = None if share is None else Filter.of(model.trie, keep)
    found = ranked(model, context, 200, 200, allow)
    items, scores = found.items, found.scores
    best = wanted.sort(1, descending=True)
    n = int(keep.sum())
    torch.testing.assert_close(scores[:, :n], best.values[:, :n], atol=5e-5, rtol=1e-5)
    assert (items[:, :n].sort(1).values == keep.nonzero()[:, 0]).all()
    assert (items[:, n:] == -1).all()


def test_an_item_counts_once_however_often_it_was_taken():
    rows = torch.tensor([[5, 2, 5, 5], [1, -1, -1, -1]])
    assert once(rows).tolist() == [[5, 2, -1, -1], [1, -1, -1, -1]]


@pytest.mark.parametrize("score", [-19.0, -9.0, 3.0])
def test_the_normaliser_keeps_its_digits_where_nearly_all_is_seen(score):
    for mass in (0.0, 0.3, 1 - 1e-6, 1.0):
        exactly = np.log(1 - np.float64(np.float32(mass)) * (1 - np.exp(score)))
        found = log_normaliser(torch.tensor([mass]), torch.tensor(score))
        assert found.item() == pytest.approx(exactly, abs=1e-5)


def test_every_distribution_learns_a_score_of_its_own():
    torch.manual_seed(0)
    model = tiny_generator(repeat=True, experts={"views": ("id", "text")})
    log = Sequences.of([np.random.default_rng(user).permutation(200)[:6] for user in range(40)])
    again = np.array([row[2] for row in log])  # everybody takes an item again
    learn_repeat(model, log, again)
    alone = [float(model.repeat), *model.experts.repeat.tolist()]
    assert min(alone) > 3
    assert len(set(alone)) == 3
    learn_repeat(model, log, np.full(40, 199))
    assert max(float(model.repeat), *model.experts.repeat.tolist()) < 3


@pytest.mark.parametrize("b", [-3.0, 0.0, 2.0])
def test_the_likeliest_score_is_the_one_that_cases_were_drawn_by(b):
    rng = np.random.default_rng(0)
    mass = rng.uniform(0.01, 0.5, 40_000)
    odds = mass * np.exp(b)
    returned = rng.random(len(mass)) < odds / (odds + 1 - mass)
    found = likeliest(torch.from_numpy(mass), torch.from_numpy(returned))
    assert abs(found - b) < 0.1


def test_it_stays_finite_where_nothing_ever_returns():
    mass = torch.full((1000,), 0.2, dtype=torch.float64)
    assert -15 < likeliest(mass, torch.zeros(1000, dtype=torch.bool)) < -5


@pytest.mark.parametrize(("repurchase", "low", "high"), [(0.0, -20, -2), (0.5, 0.5, 20)])
def test_a_world_in_which_people_buy_again_is_told_from_one_in_which_they_do_not(
    repurchase, low, high, tiny
):
    world = make_world(0, items=90, users=150, topics=3, looks=3, repurchase=repurchase)
    data = world.embedded()
    made = Recommender.fit(data, tiny("late++", "model.repeat=true"))
    assert low < float(made.model.repeat) < high
    test = made.split().test
    found = made.top(test.history, 5)
    seen = np.mean([np.isin(row, old).mean() for row, old in zip(found, test.history, strict=True)])
    assert (seen > 0.4) == (repurchase > 0)


def test_left_out_items_stay_left_out(tiny, data):
    made = Recommender.fit(data, tiny("late++", "model.repeat=true"))
    made.model.repeat.fill_(20.0)
    history = Sequences.of([[1, 2, 3]])
    assert set(made.top(history, 3)[0].tolist()) == {1, 2, 3}
    assert not set(made.top(history, 20, exclude_seen=True)[0].tolist()) & {1, 2, 3}
