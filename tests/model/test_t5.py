"""The `paper` family is T5: Hugging Face's code computes the same with the same weights."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from benchmarks.t5 import TokenTrie, generate_t5, renamed, to_t5, tokens_of
from mgrec.configs import TrainingConfig
from mgrec.ids.semantic_ids import START
from mgrec.model.next_item import NextItem
from mgrec.search.beam import beam_search
from tests.planted import FUSIONS, tiny_generator, walks

# The longest of them reaches T5's logarithmic buckets: 13 items are 65 tokens.
LENGTHS = (3, 13, 1, 7)
SHAPES = [
    pytest.param("late++", {"tied": True}, id="tied"),
    pytest.param("late++", {"tied": False}, id="a head of its own"),
    pytest.param("text target", {"tied": True}, id="partial targets"),
]


def paper_generator(fusion="late++", **fields):
    torch.manual_seed(0)
    shape = {"layers": 2, "decoder_layers": 3, "history": 40, "dropout": 0.0, "tied": True}
    return tiny_generator(FUSIONS[fusion], family="paper", softmax="plain", **(shape | fields))


def histories():
    rng = np.random.default_rng(0)
    rows = [rng.integers(0, 200, n) for n in LENGTHS]
    padded = [np.pad(row, (0, max(LENGTHS) - len(row)), constant_values=-1) for row in rows]
    return torch.from_numpy(np.stack(padded))


@pytest.mark.parametrize(("fusion", "fields"), SHAPES)
def test_encoder_states_and_the_logits_of_every_slot_are_equal(fusion, fields):
    model = paper_generator(fusion, **fields)
    t5, items = to_t5(model), torch.tensor([5, 0, 199, 42])
    tokens, mask = tokens_of(model.ids, histories())
    labels = torch.from_numpy(model.ids.tokens).long()[items][:, list(model.ids.target)]
    with torch.inference_mode():
        theirs = t5(input_ids=tokens, attention_mask=mask, labels=labels)
        context = model.context(histories())
        logits = model.teacher(context, items, 0, labels.shape[1]) @ model.head.T
    states = theirs.encoder_last_hidden_state
    torch.testing.assert_close(context.memory[mask], states[mask], atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(logits, theirs.logits, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize(("fusion", "fields"), SHAPES)
def test_loss_and_every_gradient_of_a_training_batch_are_equal(fusion, fields):
    model = paper_generator(fusion, **fields).train()
    t5 = to_t5(model)
    task = NextItem(model, walks(200, length=20), TrainingConfig(targets=64), seed=0)
    batch = max(task.batches(0), key=lambda windows: int((windows < 0).sum()))
    assert (batch < 0).any()
    loss = task.loss(batch)
    loss.backward()

    windows = task.items_at(batch)
    last = (windows >= 0).sum(1, keepdim=True) - 1
    items = windows.gather(1, last)[:, 0]
    tokens, mask = tokens_of(model.ids, windows.scatter(1, last, -1))
    labels = torch.from_numpy(model.ids.tokens).long()[items][:, list(model.ids.target)]
    # Theirs is the mean over tokens, ours the mean over items of the sum over an item's tokens.
    theirs = t5(input_ids=tokens, attention_mask=mask, labels=labels).loss * labels.shape[1]
    theirs.backward()

    torch.testing.assert_close(loss, theirs, atol=1e-5, rtol=1e-5)
    ours = {name: p.grad for name, p in model.named_parameters()}
    expected = dict(renamed(ours))
    gradients = {name: p.grad for name, p in t5.named_parameters()}
    assert gradients.keys() <= expected.keys()
    assert sum(g.numel() for g in gradients.values()) == sum(g.numel() for g in ours.values())
    for name, gradient in gradients.items():
        torch.testing.assert_close(
            expected[name],
            gradient,
            atol=2e-5,
            rtol=1e-3,
            msg=lambda said, name=name: f"{name}: {said}",
        )


@pytest.mark.parametrize("fusion", ["late++", "text", "text target"])
@pytest.mark.parametrize(("beams", "k"), [(2, 1), (60, 60)])
def test_generate_with_a_callback_finds_what_our_beam_finds(fusion, beams, k):
    model = paper_generator(fusion, decoder_layers=2)  # their caches take stacks of equal depth
    with torch.inference_mode():
        items, scores = beam_search(model, model.context(histories()), beams)
    found, summed = generate_t5(to_t5(model), TokenTrie.of(model.ids), histories(), beams, k)
    assert found.shape == summed.shape == (len(LENGTHS), k)
    torch.testing.assert_close(summed, scores[:, :k], atol=5e-5, rtol=1e-5)
    assert (found == items[:, :k]).all()


def test_a_score_is_the_sum_of_the_log_probabilities_over_the_whole_vocabulary():
    model = paper_generator(decoder_layers=2)
    t5 = to_t5(model)
    found, scores = generate_t5(t5, TokenTrie.of(model.ids), histories(), 5, 1)
    tokens, mask = tokens_of(model.ids, histories())
    written = torch.from_numpy(model.ids.tokens).long()[found[:, 0]]
    before = F.pad(written[:, :-1], (1, 0), value=START)
    with torch.inference_mode():
        logits = t5(input_ids=tokens, attention_mask=mask, decoder_input_ids=before).logits
    expected = logits.log_softmax(-1).gather(2, written[..., None]).sum((1, 2))
    torch.testing.assert_close(scores[:, 0], expected, atol=5e-5, rtol=1e-5)


def test_more_beams_than_items_leave_the_rest_empty():
    model = paper_generator("text", decoder_layers=2)
    found, scores = generate_t5(to_t5(model), TokenTrie.of(model.ids), histories(), 250, 250)
    assert all(sorted(row[:200]) == list(range(200)) for row in found.tolist())
    assert (found[:, 200:] == -1).all()
    assert scores[:, 200:].isneginf().all()


def test_one_beam_is_refused_since_there_it_is_another_algorithm():
    model = paper_generator("text", decoder_layers=2)
    with pytest.raises(ValueError, match="expected at least 2 beams, found 1"):
        generate_t5(to_t5(model), TokenTrie.of(model.ids), histories(), 1, 1)


def test_another_family_is_refused():
    with pytest.raises(ValueError, match="expected a model of family 'paper', found 'default'"):
        to_t5(tiny_generator())
