"""What is generated without the catalogue: kinds and outcomes by hand, and a planted model."""

import numpy as np
import pytest
import torch

from mgrec.configs import IdsConfig, SearchConfig
from mgrec.data.features import Codes
from mgrec.data.splits import Cases
from mgrec.errors import RequestError
from mgrec.ids.semantic_ids import build
from mgrec.model.generator import Generator
from mgrec.study.correspondence import (
    ALL,
    APART,
    DIGITS,
    LEGAL,
    MISMATCHED,
    NONE,
    UNKNOWN,
    among,
    both_searches,
    classified,
    correspondence,
    generated_blocks,
    outcomes,
)
from tests.planted import FUSIONS, tiny_generator, tiny_model, walks


def ids_of(text, image, fusion="late++"):
    codes = {
        name: Codes(np.asarray(c, np.int32), np.ones(len(c), bool), (4,) * len(c[0]))
        for name, c in (("text", text), ("image", image))
    }
    return build(codes, IdsConfig(fusion=fusion))


def test_every_id_is_an_items_or_says_why_not():
    ids = ids_of([[0, 1], [2, 3]], [[1, 1], [0, 2]])
    # Target slots: two text codes, the transition token, two image codes, the last code.
    generated = np.array(
        [
            [[0, 1, 0, 1, 1, 0], [2, 3, 0, 0, 2, 0]],
            [[0, 1, 0, 0, 2, 0], [0, 1, 0, 1, 1, 7]],
            [[0, 0, 0, 1, 1, 0], [2, 3, 0, 3, 3, 0]],
        ]
    )
    kinds = classified(ids, generated)
    assert kinds[LEGAL].tolist() == [[True, True], [False, False], [False, False]]
    assert kinds[MISMATCHED].tolist() == [[False, False], [True, False], [False, False]]
    assert kinds[DIGITS].tolist() == [[False, False], [False, True], [False, False]]
    assert kinds[UNKNOWN].tolist() == [[False, False], [False, False], [True, True]]


def test_a_model_of_one_block_joins_nothing():
    codes = {"text": Codes(np.array([[0], [1]], np.int32), np.ones(2, bool), (4,))}
    ids = build(codes, IdsConfig(fusion="unimodal", modalities=("text",)))
    assert list(classified(ids, np.zeros((1, 1, 2), np.int64))) == [LEGAL, DIGITS, UNKNOWN]


def test_outcomes_are_told_apart_and_add_up():
    blocks = {"text": [0], "image": [2]}
    target = np.tile([1, 0, 1], (5, 1))
    codes = np.array(
        [
            [[1, 0, 1], [0, 0, 0]],  # together
            [[1, 0, 0], [0, 0, 1]],  # each once, never together
            [[1, 0, 0], [1, 0, 2]],  # the text only
            [[0, 0, 1], [2, 0, 1]],  # the picture only
            [[0, 0, 0], [2, 0, 2]],
        ]
    )
    found = outcomes(codes, target, blocks)
    order = [ALL, APART, "only text", "only image", NONE]
    assert list(found) == order
    assert np.array_equal(np.stack([found[name] for name in order]), np.eye(5, dtype=bool))


def test_three_blocks_name_every_part_that_may_be_right():
    blocks = {"text": [0], "image": [1], "sound": [2]}
    rng = np.random.default_rng(0)
    found = outcomes(rng.integers(0, 2, (200, 3, 3)), np.ones((200, 3), int), blocks)
    assert "only text and sound" in found
    assert (np.stack(list(found.values())).sum(0) == 1).all()


def test_rows_are_looked_up_whole():
    known = np.array([[1, 2], [3, 4]])
    rows = np.array([[[1, 2], [2, 1]], [[3, 4], [3, 2]]])
    assert among(rows, known).tolist() == [[True, False], [True, False]]


def cases_of(items, users=40):
    log = walks(items, users, length=6)
    return Cases(
        np.arange(users), log.slices(log.offsets[:-1], log.offsets[1:] - 1), log.items[5::6]
    )


@pytest.mark.parametrize("family", ["default", "paper"])
@pytest.mark.parametrize("fusion", ["text", "late++", "three modalities", "text target"])
def test_figures_fit_together_whatever_the_model(fusion, family):
    torch.manual_seed(0)
    model = tiny_generator(FUSIONS[fusion], family=family, softmax="plain")
    cases = cases_of(200)
    found = correspondence(model, cases, SearchConfig(beams=12))
    assert sum(i.value for i in found.generated.values()) == pytest.approx(1)
    assert sum(i.value for i in found.first.values()) == pytest.approx(1)
    if len(generated_blocks(model.ids)) > 1:
        assert sum(i.value for i in found.right.values()) == pytest.approx(1)
        has = [model.ids.has_block(m)[cases.targets] for m in generated_blocks(model.ids)]
        assert found.whole == np.logical_and.reduce(has).sum()
    else:
        assert found.right == {}
    difference = found.constrained.value - found.free.value
    assert difference == pytest.approx(found.repaired.value - found.lost.value)


def planted_model(ids, wanted):
    """A model whose slots prefer the codes of a tuple, whatever stands before them."""
    model = Generator(tiny_model(softmax="plain", dim=32, history_embeddings=False), ids, {})
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        # The decoder's state at a slot is the slot's place alone, one direction each.
        model.decoder.norm.weight.fill_(1)
        for slot in range(len(ids.target)):
            model.decoder.places[slot, slot] = 1
            token = ids.target_slots[slot].first + wanted[slot]
            model.outputs.weight[token, slot] = 20
    return model.eval()


def test_a_model_that_thinks_block_by_block_is_repaired_by_the_constraint():
    # The likeliest text is item 0's, the likeliest picture item 1's: together they are nobody's.
    ids = ids_of([[0, 1], [2, 3], [0, 2]], [[1, 1], [0, 2], [3, 3]])
    model = planted_model(ids, [0, 1, 0, 0, 2, 0])
    history = walks(3, users=4, length=2)
    cases = Cases(np.arange(4), history, np.zeros(4, np.int32))
    codes, items = both_searches(model, cases, SearchConfig(beams=10))
    assert (codes[:, 0] == [0, 1, 0, 0, 2, 0]).all()
    assert set(items[:, :2].ravel().tolist()) == {0, 1}
    found = correspondence(model, cases, SearchConfig(beams=10))
    assert found.first[MISMATCHED].value == 1
    assert found.constrained.value == 1
    assert found.free.value == 0
    assert found.repaired.value == 1
    assert found.right["only text"].value + found.right[APART].value == 1


def test_a_legal_softmax_is_refused():
    torch.manual_seed(0)
    with pytest.raises(RequestError, match="legal"):
        correspondence(tiny_generator(softmax="legal"), cases_of(200), SearchConfig())
