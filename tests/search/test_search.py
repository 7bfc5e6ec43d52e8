"""The beam against exact scoring, for every fusion, family and softmax."""

import pytest
import torch

from mgrec.data.sequences import Sequences
from mgrec.ids.filters import Filter
from mgrec.search.beam import beam_search
from mgrec.search.exact import score_catalogue
from mgrec.search.rank import rank
from mgrec.search.ranking import top
from tests.planted import FUSIONS, tiny_generator

HISTORIES = torch.tensor([[3, 4, 5, 6], [150, 7, -1, -1], [9, -1, -1, -1]])
KINDS = [("default", "legal"), ("default", "plain"), ("paper", "plain"), ("paper", "legal")]


def context_of(model):
    with torch.inference_mode():
        return model.context(HISTORIES)


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


def test_nothing_allowed_gives_nothing():
    model = tiny_generator()
    items, scores = rank(
        model, context_of(model), 5, 10, Filter.of(model.trie, torch.zeros(200, dtype=torch.bool))
    )
    assert (items == -1).all()
    assert scores.isinf().all()


@pytest.mark.parametrize("experts", [(), ("id", "text", "image")])
def test_a_batch_ranks_as_each_row_alone(experts):
    torch.manual_seed(3)
    model = tiny_generator(experts=experts)
    histories = Sequences.of([[3, 4, 5], [7], [9, 150, 3, 4, 5, 6, 7, 8, 9, 10], [11, 12]])
    items, scores = top(model, histories, 10, 20)
    for row, history in enumerate(histories):
        alone, alone_scores = top(model, Sequences.of([history]), 10, 20)
        assert (alone[0] == items[row]).all()
        assert abs(alone_scores[0] - scores[row]).max() < 1e-4


def test_experts_and_generator_add_up_over_every_candidate():
    torch.manual_seed(4)
    model = tiny_generator(experts=("id", "text"))
    model.experts.weight.copy_(torch.tensor([0.3, 2.0]))
    context = context_of(model)
    with torch.inference_mode():
        total = score_catalogue(model, context) + model.experts.combined(context.start)
    items, scores = rank(model, context, 200, 200)
    best = total.sort(1, descending=True)
    torch.testing.assert_close(scores, best.values, atol=5e-5, rtol=1e-5)
    keep = torch.rand(200) < 0.1
    items, scores = rank(model, context, 10, 20, Filter.of(model.trie, keep))
    expected = total.masked_fill(~keep, float("-inf")).sort(1, descending=True)
    assert (items == expected.indices[:, :10]).all()
