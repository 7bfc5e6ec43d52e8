"""Training on a device other than the CPU: everything is moved there, and what is trained back."""

import pytest
import torch

from mgrec import Recommender
from mgrec.configs import SplitConfig
from mgrec.data.splits import split
from mgrec.errors import RecipeError
from mgrec.model.sasrec import fit_sasrec
from tests.elsewhere import DEVICE, NAME, Elsewhere

BARE = [
    "model.dropout=0",
    "model.layers=1",
    "model.experts.epochs=1",
    "training.epochs=1",
    "alignment.epochs=1",
]
EXPERTS = "model.experts.views=[id,text,linear,knn-image]"
NO_DROPOUT = ["model.experts.dropout=0", "model.experts.content_dropout=0"]
KINDS = {
    "late++": [],
    "paper-late++": ["model.decoder_layers=1", "model.heads=2"],
    "text": ["training.teacher=0.5", "training.teachers=[id,text,linear]"],
    "late": [EXPERTS, "model.repeat=true"],
    "late++-auxiliary": ["model.experts.views=[text,image]", "model.experts.shared=true"],
}


@pytest.mark.parametrize("name", KINDS)
def test_a_model_trained_elsewhere_is_the_one_trained_here(name, data, tiny):
    recipe = tiny(name, *BARE, *NO_DROPOUT, *KINDS[name])
    here = Recommender.fit(data, recipe)
    with Elsewhere():
        made = Recommender.fit(data, recipe.override([f"training.device={NAME}"]))
    for key, tensor in made.model.state_dict().items():
        assert tensor.device.type == "cpu"
        torch.testing.assert_close(tensor, here.model.state_dict()[key], atol=1e-3, rtol=1e-2)
    curves = [fit.facts["training"]["curve"] for fit in (here, made)]
    assert curves[0][0]["loss"] == pytest.approx(curves[1][0]["loss"], rel=1e-3)
    assert made.recommend(user=data.users[0]).item_ids


def test_training_on_everything_goes_elsewhere_too(data, tiny):
    recipe = tiny("late", *BARE, *NO_DROPOUT, *KINDS["late"], *KINDS["text"])
    with Elsewhere():
        made = Recommender.fit(data, recipe.override([f"training.device={NAME}"]), final=True)
    assert {tensor.device.type for tensor in made.model.state_dict().values()} == {"cpu"}
    assert made.recommend(user=data.users[0]).item_ids


def test_an_interrupted_training_elsewhere_goes_on(data, tiny, tmp_path, monkeypatch):
    recipe = tiny("text", *BARE, "training.epochs=3", f"training.device={NAME}")
    recipe = recipe.override(["training.checkpoint_seconds=0"])
    with Elsewhere():
        whole = Recommender.fit(data, recipe)
        monkeypatch.setattr(torch.optim.AdamW, "step", interrupted(torch.optim.AdamW.step, 5))
        with pytest.raises(KeyboardInterrupt):
            Recommender.fit(data, recipe, out=tmp_path / "run")
        monkeypatch.undo()
        went_on = Recommender.fit(data, recipe, out=tmp_path / "run")
    for key, tensor in whole.model.state_dict().items():
        torch.testing.assert_close(went_on.model.state_dict()[key], tensor)


def interrupted(step, after):
    """The optimiser's step, stopped by the user at one of them."""
    taken = 0

    def once(*args, **kwargs):
        nonlocal taken
        taken += 1
        if taken > after:
            raise KeyboardInterrupt
        return step(*args, **kwargs)

    return once


def test_sasrec_trains_elsewhere(data, tiny):
    parts = split(data, SplitConfig())
    config = tiny("text", "training.epochs=1", f"training.device={NAME}").training
    with Elsewhere():
        found = fit_sasrec(parts.train, parts.validation, data.n_items, config, 0)
    assert found.model.device.type == "cpu"
    assert found.model.top(parts.test.history, 5).shape == (len(parts.test), 5)


@pytest.mark.parametrize("name", ["cuda:7", "gpu", "meta"])
def test_a_device_that_is_not_there_is_refused_in_a_line(name, data, tiny):
    with pytest.raises(RecipeError, match=rf"^training.device: found '{name}'.*expected cpu"):
        Recommender.fit(data, tiny("text", f"training.device={name}"))


def test_the_stand_in_refuses_what_a_gpu_refuses():
    with Elsewhere():
        there = torch.ones(3).to(DEVICE)
        assert (there + torch.tensor(1.0)).cpu().tolist() == [2, 2, 2]
        with pytest.raises(RuntimeError, match="two devices"):
            there + torch.ones(3)
        with pytest.raises(TypeError, match="expected one on the CPU"):
            there.numpy()
