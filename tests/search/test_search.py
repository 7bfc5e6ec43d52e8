"""The beam against exact scoring, for every fusion, family and softmax."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis.extra.numpy import array_shapes, arrays
from hypothesis.strategies import integers

from mgrec.configs import SearchConfig, TrainingConfig
from mgrec.data.sequences import Sequences
from mgrec.ids.filters import Filter
from mgrec.model.next_item import NextItem
from mgrec.model.training import train
from mgrec.search.beam import beam_search, best_of
from mgrec.search.candidates import ranked
from mgrec.search.exact import score_catalogue
from mgrec.search.ranking import plan, top
from tests.planted import FUSIONS, tiny_generator, walks
from tests.search import reference

HISTORIES = torch.tensor([[3, 4, 5, 6], [150, 7, -1, -1], [9, -1, -1, -1]])
KINDS = [("default", "legal"), ("default", "plain"), ("paper", "plain"), ("paper", "legal")]


def context_of(model):
    with torch.inference_mode():
        return model.context(HISTORIES)


@pytest.fixture(scope="module", params=KINDS, ids="-".join)
def learnt(request):
    """A model that has learnt what follows what, so that its scores are far apart."""
    family, softmax = request.param
    torch.manual_seed(5)
    model = tiny_generator(items=60, family=family, softmax=softmax, decoder_layers=2, dropout=0)
    config = TrainingConfig(targets=64, learning_rate=1e-2, warmup=10, precision="float32")
    train(NextItem(model, walks(60), config, 0), config, epochs=3, seed=0)
    return model.eval()


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize(("family", "softmax"), KINDS)
def test_a_beam_over_everything_equals_exact_scoring(fusion, family, softmax):
    torch.manual_seed(0)
    model = tiny_generator(FUSIONS[fusion], family=family, softmax=softmax, decoder_layers=2)
    context = context_of(model)
    exact = score_catalogue(model, context).sort(1, descending=True)
    items, scores = beam_search(model, context, 200)
    torch.testing.assert_close(scores, exact.values, atol=2e-5, rtol=1e-5)
    assert (items.sort(1).values == torch.arange(200)).all()
    assert (items == exact.indices).float().mean() > 0.99  # equal scores may stand in any order
    if softmax == "legal":
        torch.testing.assert_close(scores.exp().sum(1), torch.ones(3))


@pytest.mark.parametrize("beams", [1, 3, 20])
@pytest.mark.parametrize(("family", "softmax"), KINDS)
def test_whatever_is_decoded_is_an_item_once_with_its_exact_score(beams, family, softmax):
    torch.manual_seed(1)
    model = tiny_generator(family=family, softmax=softmax)
    context = context_of(model)
    exact = score_catalogue(model, context)
    items, scores = beam_search(model, context, beams)
    assert items.shape == (3, beams)
    assert ((items >= 0) & (items < 200)).all()
    assert all(len(set(row)) == beams for row in items.tolist())
    torch.testing.assert_close(scores, exact.gather(1, items), atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize(("family", "softmax"), KINDS)
def test_a_filter_keeps_the_order_and_the_probabilities_of_the_whole_catalogue(family, softmax):
    torch.manual_seed(2)
    model = tiny_generator(family=family, softmax=softmax)
    context = context_of(model)
    keep = torch.rand(200) < 0.2
    exclude = torch.tensor([[3, 4, -1], [7, 7, 150], [9, -1, -1]])
    allow = Filter.of(model.trie, keep, exclude)
    allowed = allow.items(3)
    exact = score_catalogue(model, context).masked_fill(~allowed, float("-inf"))
    items, scores = beam_search(model, context, 200, allow)
    for user in range(3):
        n = int(allowed[user].sum())
        best = exact[user].sort(descending=True)
        assert items[user, :n].tolist() == best.indices[:n].tolist()
        torch.testing.assert_close(scores[user, :n], best.values[:n], atol=2e-5, rtol=1e-5)
        assert (items[user, n:] == -1).all()


def certain(found, exact):
    """How many of the found items' places the bound makes certain; they must be the right ones."""
    count = ((found.scores >= found.bound[:, None]) & (found.items >= 0)).sum(1).tolist()
    best = exact.sort(descending=True).indices
    for user, n in enumerate(count):
        assert found.items[user, :n].tolist() == best[user, :n].tolist()
    return count


@pytest.mark.parametrize("beams", [1, 7, 40])
def test_nothing_that_was_not_found_scores_above_the_bound(learnt, beams):
    histories = torch.tensor([[3, 4, 5, 6], [50, 7, -1, -1], [9, -1, -1, -1]])
    with torch.inference_mode():
        context = learnt.context(histories)
    torch.manual_seed(3)
    keep = torch.rand(60) < 0.5
    allow = Filter.of(learnt.trie, keep)
    exact = score_catalogue(learnt, context).masked_fill(~keep, float("-inf"))
    found = ranked(learnt, context, beams, beams, allow)
    sure = certain(found, exact)
    assert beams < 40 or any(sure)
    rest = exact.scatter(1, found.items.clamp(min=0), float("-inf")).amax(1)
    assert (rest <= found.bound + 1e-5).all()
    assert ranked(learnt, context, 60, 60, allow).bound.isneginf().all()


def distinct(model):
    """The model with codes' scores apart; untrained, it says next to nothing."""
    with torch.no_grad():
        model.outputs.weight.mul_(20)
    return model


@pytest.mark.parametrize("beams", [1, 5, 40])
@pytest.mark.parametrize("softmax", ["legal", "plain"])
def test_the_bound_holds_for_the_sum_with_experts(softmax, beams):
    torch.manual_seed(3)
    model = distinct(tiny_generator(softmax=softmax, experts={"views": ["id", "text"]}))
    context = context_of(model)
    keep = torch.rand(200) < 0.5
    allow = Filter.of(model.trie, keep)
    with torch.inference_mode():
        exact = score_catalogue(model, context) + model.experts.combined(
            context.views, context.seen
        )
    exact = exact.masked_fill(~keep, float("-inf"))
    found = ranked(model, context, beams, beams, allow)
    sure = certain(found, exact)
    assert beams < 40 or all(sure)
    assert ranked(model, context, 200, 200, allow).bound.isneginf().all()


@pytest.mark.parametrize("beams", [1, 5, 40])
def test_the_bound_holds_for_items_that_only_their_content_scores(beams):
    torch.manual_seed(4)
    model = distinct(tiny_generator(experts={"views": ["id", "text"]}))
    added = torch.rand(200) < 0.3
    model.share(added.numpy(), np.ones(200, np.int64), ratio=1000)  # let in with great weight
    context = context_of(model)
    with torch.inference_mode():
        exact = score_catalogue(model, context) + model.experts.combined(
            context.views, context.seen
        )
    sure = certain(ranked(model, context, beams, beams), exact)
    assert any(sure) if beams == 5 else beams < 40 or all(sure)


@pytest.mark.parametrize("share", [1.0, 0.2])
@pytest.mark.parametrize(("family", "softmax"), KINDS)
def test_behind_the_last_item_there_is_none(family, softmax, share):
    torch.manual_seed(5)
    model = tiny_generator(items=20, family=family, softmax=softmax)
    keep = torch.rand(20) < share
    with torch.inference_mode():
        context = model.context(HISTORIES.clamp(max=19))
    items, scores = beam_search(model, context, 40, Filter.of(model.trie, keep))
    n = int(keep.sum())
    wanted = keep.nonzero()[:, 0].expand(3, n)
    assert (items[:, :n].sort(1).values == wanted).all()
    assert (items[:, n:] == -1).all()
    assert scores[:, n:].isneginf().all()


def test_nothing_allowed_gives_nothing():
    model = tiny_generator()
    nothing = Filter.of(model.trie, torch.zeros(200, dtype=torch.bool))
    found = ranked(model, context_of(model), 5, 10, nothing)
    assert (found.items == -1).all()
    assert found.scores.isinf().all()


@pytest.mark.parametrize("views", [(), ("id", "text", "image")])
@pytest.mark.parametrize("shared", [False, True])
def test_a_batch_ranks_as_each_row_alone(views, shared):
    torch.manual_seed(3)
    model = tiny_generator(experts={"views": views, "shared": shared})
    histories = Sequences.of([[3, 4, 5], [7], [9, 150, 3, 4, 5, 6, 7, 8, 9, 10], [11, 12]])
    items, scores = top(model, histories, 10, 20, SearchConfig())
    for row, history in enumerate(histories):
        alone, alone_scores = top(model, Sequences.of([history]), 10, 20, SearchConfig())
        assert (alone[0] == items[row]).all()
        assert abs(alone_scores[0] - scores[row]).max() < 1e-4


def test_experts_and_generator_add_up_over_every_candidate():
    torch.manual_seed(4)
    model = tiny_generator(experts={"views": ["id", "text"]})
    model.experts.weight.copy_(torch.tensor([0.3, 2.0]))
    context = context_of(model)
    with torch.inference_mode():
        total = score_catalogue(model, context) + model.experts.combined(
            context.views, context.seen
        )
    found = ranked(model, context, 200, 200)
    items, scores = found.items, found.scores
    best = total.sort(1, descending=True)
    torch.testing.assert_close(scores, best.values, atol=5e-5, rtol=1e-5)
    keep = torch.rand(200) < 0.1
    found = ranked(model, context, 10, 20, Filter.of(model.trie, keep))
    items, scores = found.items, found.scores
    expected = total.masked_fill(~keep, float("-inf")).sort(1, descending=True)
    assert (items == expected.indices[:, :10]).all()


@pytest.mark.parametrize("beams", [2, 7])
@pytest.mark.parametrize("share", [None, 0.3])
def test_the_search_ranks_as_the_slow_and_obvious_one(learnt, beams, share):
    histories = [[3, 4, 5, 6], [50, 7], [9]]
    torch.manual_seed(beams)
    keep = torch.ones(60, dtype=torch.bool) if share is None else torch.rand(60) < share
    allow = None if share is None else Filter.of(learnt.trie, keep)
    found, scores = beam_search(
        learnt, learnt.context(torch.from_numpy(Sequences.of(histories).padded())), beams, allow
    )
    for user, history in enumerate(histories):
        kept = set(keep.nonzero()[:, 0].tolist())
        wanted = reference.search(learnt, history, beams, kept)
        n = len(wanted)
        assert found[user, :n].tolist() == [item for item, _ in wanted]
        expected = torch.tensor([score for _, score in wanted])
        torch.testing.assert_close(scores[user, :n], expected, atol=2e-5, rtol=1e-5)
        assert (found[user, n:] == -1).all()


@given(
    arrays(np.int8, array_shapes(min_dims=2, max_dims=2), elements=integers(0, 3)), integers(1, 6)
)
def test_equal_scores_stand_in_the_order_of_their_places(scores, k):
    values, places, others = best_of(torch.from_numpy(scores).float(), k)
    wanted = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    assert (places.numpy() == wanted).all()
    assert (values.numpy() == np.take_along_axis(scores, wanted, 1)).all()
    rest = np.sort(scores, axis=1)[:, ::-1][:, k : k + 1]
    assert others.tolist() == (rest[:, 0].tolist() if rest.size else [-np.inf] * len(scores))


def test_batches_keep_to_the_memory_they_are_given():
    model = tiny_generator(experts={"views": ["id", "text"]})
    wide, narrow = (plan(model, 500, SearchConfig(memory=mib)) for mib in (512, 16))
    assert narrow.memory <= 16 << 20
    assert 1 <= narrow.users <= wide.users
    assert plan(model, 5000, SearchConfig(memory=16)).users == 1
    histories = walks(200, users=30)
    few = top(model, histories, 10, 500, SearchConfig(memory=16))
    many = top(model, histories, 10, 500, SearchConfig(memory=4096))
    assert (few[0] == many[0]).all()


def test_bfloat16_ranks_nearly_as_float32(learnt):
    histories = walks(60, users=50, seed=3)
    fine = top(learnt, histories, 5, 20, SearchConfig())
    coarse = top(learnt, histories, 5, 20, SearchConfig(precision="bfloat16"))
    assert (fine[0][:, 0] == coarse[0][:, 0]).mean() > 0.9
    assert 0 < abs(fine[1] - coarse[1]).max() < 0.3
