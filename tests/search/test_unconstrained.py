"""The search without the catalogue: what it scores, and that it is free."""

import pytest
import torch

from mgrec.errors import RequestError
from mgrec.search.beam import beam_search
from mgrec.search.exact import score_items
from mgrec.search.unconstrained import free_search
from tests.planted import FUSIONS, tiny_generator

HISTORIES = torch.tensor([[3, 4, 5, 6], [150, 7, -1, -1], [9, -1, -1, -1]])


def model_of(fusion, family):
    torch.manual_seed(0)
    model = tiny_generator(FUSIONS[fusion], family=family, softmax="plain", decoder_layers=2)
    with torch.inference_mode():
        return model, model.context(HISTORIES)


@torch.inference_mode()
def slow_score(model, context, user, codes):
    """Score one code tuple by feeding it to the decoder whole."""
    slots = model.ids.target_slots
    tokens = torch.tensor([[s.first + c for s, c in zip(slots, codes, strict=True)]])
    one = context.select(torch.tensor([user]))
    hidden = model.decoder(one, model.tokens(tokens[:, :-1]))[0]
    return sum(
        float((model.head @ state).log_softmax(0)[token])
        for state, token in zip(hidden, tokens[0].tolist(), strict=True)
    )


@pytest.mark.parametrize("family", ["default", "paper"])
@pytest.mark.parametrize("fusion", ["text", "late++", "interleaved", "text target"])
def test_every_tuple_has_the_score_of_its_own_codes_best_first(fusion, family):
    model, context = model_of(fusion, family)
    codes, scores = free_search(model, context, 7)
    assert codes.shape == (3, 7, len(model.ids.target))
    assert (scores.diff(dim=1) <= 0).all()
    sizes = torch.tensor([slot.size for slot in model.ids.target_slots])
    assert ((codes >= 0) & (codes < sizes)).all()
    for user in range(3):
        assert len({tuple(row) for row in codes[user].tolist()}) == 7
        for row, score in zip(codes[user].tolist(), scores[user].tolist(), strict=True):
            assert score == pytest.approx(slow_score(model, context, user, row), abs=1e-4)


@pytest.mark.parametrize("family", ["default", "paper"])
def test_wide_enough_it_holds_every_item_with_its_exact_score(family):
    model, context = model_of("text", family)
    tuples = 1
    for slot in model.ids.target_slots:
        tuples *= slot.size
    codes, scores = free_search(model, context, tuples)
    assert codes.shape[1] == tuples
    assert (scores.exp().sum(1) <= 1 + 1e-4).all()  # tokens of other slots have the rest
    items, exact = beam_search(model, context, 200)
    place = {
        tuple(row): n for n, row in enumerate(torch.from_numpy(model.ids.target_codes()).tolist())
    }
    for user in range(3):
        found = [place[tuple(row)] for row in codes[user].tolist() if tuple(row) in place]
        assert len(found) == 200
        assert found[0] == items[user, 0]
        wanted = score_items(model, context.select(torch.tensor([user])), torch.tensor([found]))
        own = [
            s
            for s, row in zip(scores[user].tolist(), codes[user].tolist(), strict=True)
            if tuple(row) in place
        ]
        torch.testing.assert_close(torch.tensor([own]), wanted, atol=1e-4, rtol=1e-5)
    assert exact.shape == (3, 200)


def test_a_legal_softmax_has_no_such_search():
    torch.manual_seed(0)
    model = tiny_generator(softmax="legal")
    with pytest.raises(RequestError, match=r"softmax=legal"):
        free_search(model, model.context(HISTORIES), 5)
