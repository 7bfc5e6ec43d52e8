"""Experts: each learns what follows what in its own view, by an honest sample of the catalogue."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mgrec import Recommender
from mgrec.configs import TrainingConfig
from mgrec.data.features import Embeddings
from mgrec.data.sequences import Sequences
from mgrec.errors import RecipeError
from mgrec.model.experts import Expert, Experts
from mgrec.model.generator import Generator
from mgrec.model.next_name import NextName, sampled_cross_entropy
from mgrec.model.training import train
from mgrec.model.views import NameView, VectorView, whitening
from tests.planted import (
    FUSIONS,
    random_ids,
    random_vectors,
    tiny_generator,
    tiny_model,
    walks,
)

TRAINING = TrainingConfig(targets=128, learning_rate=1e-2, warmup=10, precision="float32")


def tiny_experts(*views, items=40):
    config = tiny_model(experts={"views": views, "dropout": 0.1, "layers": 1})
    vectors = {"text": random_vectors(items)}
    ids = random_ids(FUSIONS["late++"], items)
    return Experts(config, ids, vectors, torch.nn.Embedding(ids.vocabulary, config.dim))


@pytest.mark.parametrize("view", ["id", "text", "image"])
@pytest.mark.parametrize("negatives", [0, 10])
def test_every_view_learns_which_item_follows(view, negatives):
    """Text is read by its vectors, images by their codes, which some items share."""
    torch.manual_seed(0)
    expert = tiny_experts(view)[view]
    task = NextName(expert, walks(40), TRAINING, 0, negatives=negatives)
    train(task, TRAINING, epochs=25, seed=0)
    found = expert.top(Sequences.of([[i, i + 1, i + 2] for i in range(30)]), 5)
    most = 5 if view == "image" else 1
    right = (found[:, :most] == np.arange(30)[:, None] + 3).any(1)
    assert right.mean() > 0.8


def test_what_is_kept_of_the_catalogue_follows_training():
    torch.manual_seed(0)
    expert = tiny_experts("text")["text"].eval()
    before = expert.top(Sequences.of([[1, 2, 3]]), 40)
    train(NextName(expert, walks(40), TRAINING, 0), TRAINING, epochs=3, seed=0)
    after = expert.top(Sequences.of([[1, 2, 3]]), 40)
    assert (before != after).any()
    torch.testing.assert_close(expert.catalogue(), expert.view(torch.arange(40)))


def test_a_sample_that_is_everything_is_the_plain_cross_entropy():
    torch.manual_seed(1)
    logits = torch.randn(150, 30, requires_grad=True)
    right = torch.randint(0, 30, (150,))
    wanted = F.cross_entropy(logits, right)
    (gradient,) = torch.autograd.grad(wanted, logits)
    found = sampled_cross_entropy(logits, right, torch.zeros(30))
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(torch.autograd.grad(found, logits)[0], gradient)


def test_a_chance_of_a_half_counts_an_item_twice():
    torch.manual_seed(2)
    logits = torch.randn(5, 8, dtype=torch.float64, requires_grad=True)
    right = torch.tensor([0, 3, 3, 7, 1])
    chance = torch.tensor([0.5, 1, 0.25, 0.5, 1, 1, 0.5, 1], dtype=torch.float64)
    mass = logits.exp() / chance
    own = logits.gather(1, right[:, None])
    mass = mass.scatter(1, right[:, None], own.exp())
    wanted = (mass.sum(1).log() - own[:, 0]).mean()
    found = sampled_cross_entropy(logits, right, chance.log().float())
    torch.testing.assert_close(found.double(), wanted, atol=1e-5, rtol=1e-5)


def test_a_step_s_sample_holds_the_batch_and_tells_each_item_s_chance():
    items, rounds = 60, 4000
    log = walks(items, users=40)
    expert = Expert(NameView(items, 8), tiny_model())
    task = NextName(expert, log, TRAINING, 0, negatives=12)
    generator = np.random.default_rng(0)
    there, told = torch.zeros(items), torch.zeros(items)
    torch.manual_seed(0)
    for _ in range(rounds):
        drawn = torch.from_numpy(generator.choice(log.items, 15).astype(np.int64))[None]
        sample, chance = task.sample(drawn)
        assert set(drawn[0].tolist()) <= set(sample.tolist())
        there[sample] += 1
        told[sample] = chance
    torch.testing.assert_close(there / rounds, told, atol=0.03, rtol=0)


def test_whitening_gives_every_axis_the_same_say_and_drops_what_is_flat():
    rng = np.random.default_rng(0)
    wide = rng.normal(size=(500, 4)) * [100, 10, 1, 0.1] @ rng.normal(size=(4, 9))
    table = torch.from_numpy((wide - wide.mean(0)).astype(np.float32))
    present = torch.ones(500, dtype=torch.bool)
    white = table @ whitening(table, present, 9)
    assert white.shape[1] <= 4
    torch.testing.assert_close(white.T @ white / 500, torch.eye(white.shape[1]), atol=1e-3, rtol=0)
    assert whitening(table, present, 2).shape == (9, 2)


def test_embeddings_that_tell_nothing_apart_are_refused():
    same = Embeddings(np.zeros((10, 4), np.float32), np.ones(10, bool))
    ids = random_ids(FUSIONS["text"], 10)
    with pytest.raises(RecipeError, match=r"'text'.*the same"):
        Generator(tiny_model(experts={"views": ["text"], "whiten": 3}), ids, {"text": same})


def test_items_without_a_vector_look_alike():
    vectors = random_vectors(10)
    view = VectorView(Embeddings(vectors.vectors, np.arange(10) < 7), 5, 8, 0.0)
    seen = view(torch.arange(10))
    assert (seen[7:] == seen[7]).all()
    assert (seen[:7] != seen[7]).any(1).all()


def test_nobody_ranks_by_an_expert_that_was_not_trained_yet(data, tiny):
    """The generative part is chosen by itself, as in the same run without experts."""
    recipe = tiny("text", "training.epochs=2")
    plain = Recommender.fit(data, recipe)
    both = Recommender.fit(data, recipe.override(["model.experts.views=[id,text]"]))
    curves = [
        [entry["NDCG@10"] for entry in made.facts["training"]["curve"]] for made in (plain, both)
    ]
    assert curves[0] == curves[1]
    assert both.model.experts.weight.any()


def changes_of(expert):
    """Ways in which weights may change while nothing switches to training."""
    other = {name: tensor + 1 for name, tensor in expert.state_dict().items()}
    view = {name: tensor * 2 for name, tensor in expert.view.state_dict().items()}
    yield lambda: expert.load_state_dict(other)
    yield lambda: expert.view.load_state_dict(view)
    parameter = next(expert.view.parameters())
    yield lambda: parameter.mul_(3.0)
    yield lambda: setattr(parameter, "data", parameter.data - 0.5)
    yield lambda: expert.double().float()


@pytest.mark.parametrize("view", ["id", "text", "image"])
@torch.no_grad()
def test_scores_follow_the_weights_however_these_change(view):
    torch.manual_seed(0)
    expert = tiny_generator(experts={"views": ("id", "text", "image")}).experts[view]
    states = torch.randn(3, 16)
    everything = torch.arange(200)
    expert.scores(states)  # cached
    for change in changes_of(expert):
        change()
        found = expert.scores(states)
        torch.testing.assert_close(found, states @ expert.view(everything).T)
    assert expert.catalogue() is expert.catalogue()


def test_loading_a_whole_models_weights_changes_its_experts_scores():
    torch.manual_seed(0)
    one, other = (tiny_generator(experts={"views": ("id", "text")}) for _ in range(2))
    rows = torch.tensor([[1, 2, 3]])
    with torch.inference_mode():
        wanted = one.experts.log_probs(one.context(rows).views)
        other.experts.log_probs(other.context(rows).views)  # cached
        other.load_state_dict(one.state_dict())
        assert torch.equal(other.experts.log_probs(other.context(rows).views), wanted)


def test_logits_are_float32_whatever_the_precision_around_them():
    torch.manual_seed(0)
    expert = tiny_generator(experts={"views": ("id", "text")}).experts["text"]
    states = torch.randn(4, 16).bfloat16()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        found = expert.scores(states)
        items = expert.catalogue()
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, states.float() @ items.T)
    assert not torch.equal(found, found.bfloat16().float())
