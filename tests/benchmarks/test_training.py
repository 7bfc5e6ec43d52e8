"""What the training benchmark runs and how it compares; never how fast."""

import numpy as np
import torch

from benchmarks.training import BATCH, T5Training, a_target, compare
from mgrec.ids.semantic_ids import PAD
from tests.planted import FUSIONS, tiny_generator, walks


def block(kind="float32", steps=2):
    torch.manual_seed(0)
    model = tiny_generator(FUSIONS["text"], items=40, family="paper", softmax="plain", tied=True)
    return T5Training(model, walks(40, users=300, length=9), kind, steps)


def test_examples_are_one_target_each_padded_to_the_longest():
    training = block()
    table = training.ids.tokens.tolist()
    tokens, mask, labels = training.batch()
    slots = len(table[0])
    assert tokens.shape == mask.shape == (BATCH, 8 * slots)
    assert torch.equal(mask, tokens != PAD)
    for row, label in zip(tokens.tolist(), labels.tolist(), strict=True):
        real = [token for token in row if token != PAD]
        items = [table.index(real[at : at + slots]) for at in range(0, len(real), slots)]
        items.append(table.index(label))
        assert (np.diff(items) % 40 == 1).all()


def test_a_block_trains_in_either_precision_and_says_on_how_many_targets():
    for kind in ("float32", "bfloat16"):
        training = block(kind)
        before = training.t5.shared.weight.detach().clone()
        assert training() == 2 * BATCH
        assert not torch.equal(before, training.t5.shared.weight)
        assert training.t5.training


def test_the_clock_counts_by_target():
    assert 0 < a_target(lambda: 10) < 1e-3


def test_the_best_of_ours_is_compared_with_the_best_of_theirs():
    rates = {
        ("T5", "float32"): 10.0,
        ("T5", "bfloat16"): 8.0,
        ("paper", "float32"): 50.0,
        ("paper", "bfloat16"): 60.0,
        ("default", "float32"): 500.0,
        ("default", "bfloat16"): 900.0,
    }
    best, like, paper, _ = compare(rates, 8, "a note")
    assert (best.ours, best.theirs, best.ratio, best.met) == (900.0, 10.0, 90.0, True)
    assert (like.ours, like.theirs, like.met) == (500.0, 10.0, None)
    assert (paper.ours, paper.ratio, paper.target) == (60.0, 6.0, "")
    assert "10 in float32, 8 in bfloat16" in best.note
    assert compare(rates, 4, "")[0].target == ""
