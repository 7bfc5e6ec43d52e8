"""The repeat score: exact inside the search, and as likely as what it was learned on."""

import numpy as np
import polars as pl
import pytest
import torch

from mgrec import Recommender
from mgrec.data.sequences import Sequences
from mgrec.data.worlds import make_world
from mgrec.ids.filters import Filter
from mgrec.model.repeat import likeliest, log_normaliser, once
from mgrec.search.candidates import ranked
from mgrec.search.exact import score_catalogue, score_items
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


@pytest.fixture(scope="module", params=["late++", "late++ with experts", "paper-late++"])
def forgetful(request, data, tiny):
    """A recommender whose encoder reads the last four items only, with a repeat score."""
    name, _, experts = request.param.partition(" with ")
    fields = ["model.history=4", "model.repeat=true", "training.epochs=1", "search.beams=90"]
    if experts:
        fields.append("model.experts.views=[id,text]")
    made = Recommender.fit(data, tiny(name, *fields))
    made.model.repeat.fill_(1.5)
    if experts:
        made.model.experts.repeat.copy_(torch.tensor([-2.0, 0.7]))
        made.model.experts.weight.copy_(torch.tensor([0.4, 1.2]))
    return made


def scores_of_whole_history(made, history):
    """log p' of every item by the formula, from a context that holds the window only."""
    model, seen = made.model, sorted(set(history))
    with torch.inference_mode():
        window = model.context(torch.tensor([history[-4:]]))
        parts = [score_catalogue(model, window)[0]]
        weights, repeats = [1.0], [float(model.repeat)]
        if model.experts is not None:
            parts += list(model.experts.log_probs(window.views)[:, 0])
            weights += model.experts.weight.tolist()
            repeats += model.experts.repeat.tolist()
    total = 0
    for log_prob, weight, b in zip(parts, weights, repeats, strict=True):
        raised = log_prob.double()
        log_z = np.log1p(np.expm1(b) * float(raised[seen].exp().sum()))
        raised[seen] += b
        total = total + weight * (raised - log_z)
    return total.numpy()


LONG = [*range(40, 52), 41, 3, 3, 60, 7, 8, 9]  # 41 twice, 3 twice; all but the last four are old


def test_repeat_score_sees_items_older_than_the_window(forgetful):
    ids = forgetful.catalogue.item_ids
    wanted = scores_of_whole_history(forgetful, LONG)
    answer = forgetful.recommend(history=[ids[row] for row in LONG], k=90)
    found = {item.item_id: item.score for item in answer}
    assert [found[item] for item in ids] == pytest.approx(wanted.tolist(), abs=1e-4)
    assert answer.item_ids == [ids[row] for row in np.argsort(-wanted, kind="stable")]
    some = set(ids[::3])
    filtered = forgetful.recommend(history=[ids[row] for row in LONG], k=90, only=some)
    assert filtered.item_ids == [item for item in answer.item_ids if item in some]


def test_every_verb_uses_the_whole_history(forgetful, tmp_path):
    made = forgetful
    ids = made.catalogue.item_ids
    test = made.split().test
    assert (test.history.lengths > 4).sum() > 20
    wanted = np.stack([scores_of_whole_history(made, row.tolist()) for row in test.history])
    order = np.argsort(-wanted, axis=1, kind="stable")[:, :20]
    assert made.top(test.history, 20).tolist() == order.tolist()
    assert made.evaluate().lists.tolist() == order.tolist()

    made.recommend_all(tmp_path / "all.parquet", k=90)
    row = int(np.argmax(made.users.log.lengths))
    user, history = made.users.ids[row], made.users.log[row].tolist()
    assert len(set(history[:-4]) - set(history[-4:])) > 0
    wanted = scores_of_whole_history(made, history)
    rows = pl.read_parquet(tmp_path / "all.parquet").filter(user_id=user)
    scores = dict(zip(rows["item_id"], rows["score"], strict=True))
    assert [scores[item] for item in ids] == pytest.approx(wanted.tolist(), abs=1e-4)
    for row in (history[0], history[-1], int(np.argmin(wanted))):
        why = made.explain(ids[row], user=user)
        assert why.score == pytest.approx(wanted[row], abs=1e-4)


def test_repeat_score_is_learned_from_the_whole_history():
    torch.manual_seed(0)
    model = tiny_generator(repeat=True, experts={"views": ("id", "text")})  # reads eight items
    log = Sequences.of([np.random.default_rng(user).permutation(200)[:30] for user in range(40)])
    learn_repeat(model, log, np.array([row[2] for row in log]))  # all return, from far back
    assert min(float(model.repeat), *model.experts.repeat.tolist()) > 2


def test_scoring_in_small_parts_changes_nothing():
    torch.manual_seed(0)
    for family in ("default", "paper"):
        model = tiny_generator(family=family)
        rows = torch.stack([torch.randperm(200)[:60] for _ in range(3)])
        rows[1, 5:] = -1
        rows[2] = -1
        with torch.inference_mode():
            context = model.context(HISTORIES)
            wanted = score_catalogue(model, context).gather(1, rows.clamp(min=0))
            wanted = wanted.masked_fill(rows < 0, float("-inf"))
            for most in (1, 7, 4096):
                found = score_items(model, context, rows, most)
                torch.testing.assert_close(found, wanted, atol=5e-5, rtol=1e-5)
