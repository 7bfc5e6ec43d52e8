"""Training on a device other than the CPU: everything is moved there, and what is trained back."""

import pytest
import torch

from mgrec import Recommender
from mgrec.catalogue import build_catalogue
from mgrec.configs import SplitConfig
from mgrec.data.splits import split
from mgrec.errors import RecipeError
from mgrec.model.sasrec import fit_sasrec
from mgrec.study.compare import compare
from mgrec.study.retrieval import aligned
from tests.elsewhere import DEVICE, NAME, Elsewhere
from tests.interrupting import interrupted

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
    "late++-auxiliary": [
        "model.experts.views=[text,image]",
        "model.experts.shared=true",
        "model.repeat=true",
    ],
}
STAGES = {
    "late++": {"alignment", "training"},
    "paper-late++": {"alignment", "training"},
    "text": {"expert id", "expert text", "training"},  # the teachers
    "late": {"expert id", "expert text", "training"},
    "late++-auxiliary": {"training"},
}


def stages_elsewhere(capsys):
    """Which trainings said that they were there."""
    lines = capsys.readouterr().err.splitlines()
    return {line.partition(":")[0] for line in lines if line.endswith(f"on {DEVICE}")}


@pytest.mark.parametrize(
    "name",
    [name if name == "late++" else pytest.param(name, marks=pytest.mark.slow) for name in KINDS],
)
@pytest.mark.usefixtures("shown")
def test_a_model_trained_elsewhere_is_the_one_trained_here(name, data, tiny, capsys):
    recipe = tiny(name, *BARE, *NO_DROPOUT, *KINDS[name])
    here = Recommender.fit(data, recipe)
    assert not stages_elsewhere(capsys)
    with Elsewhere():
        made = Recommender.fit(data, recipe.override([f"training.device={NAME}"]))
    assert STAGES[name] <= stages_elsewhere(capsys)
    for key, tensor in made.model.state_dict().items():
        assert tensor.device.type == "cpu"
        torch.testing.assert_close(tensor, here.model.state_dict()[key], atol=1e-3, rtol=1e-2)
    curves = [fit.facts["training"]["curve"] for fit in (here, made)]
    assert curves[0][0]["loss"] == pytest.approx(curves[1][0]["loss"], rel=1e-3)
    assert made.recommend(user=data.users[0]).item_ids


@pytest.mark.usefixtures("shown")
@pytest.mark.slow
def test_training_on_everything_goes_elsewhere_too(data, tiny, capsys):
    recipe = tiny("late", *BARE, *NO_DROPOUT, *KINDS["late"], *KINDS["text"])
    with Elsewhere():
        made = Recommender.fit(data, recipe.override([f"training.device={NAME}"]), final=True)
    second = capsys.readouterr().err.partition("final: ")[2]
    assert f"training: matrices in float32 on {DEVICE}" in second
    assert {tensor.device.type for tensor in made.model.state_dict().values()} == {"cpu"}
    assert made.recommend(user=data.users[0]).item_ids


@pytest.mark.slow
def test_an_interrupted_training_elsewhere_goes_on(data, tiny, tmp_path, monkeypatch):
    views = "model.experts.views=[linear,id]"  # a table, and one that is trained
    more = ["training.epochs=3", "training.checkpoint_seconds=0", f"training.device={NAME}"]
    recipe = tiny("text", *BARE, views, *more)
    with Elsewhere():
        whole = Recommender.fit(data, recipe)
        monkeypatch.setattr(torch.optim.AdamW, "step", interrupted(torch.optim.AdamW.step, 5))
        with pytest.raises(KeyboardInterrupt):
            Recommender.fit(data, recipe, out=tmp_path / "run")
        monkeypatch.undo()
        went_on = Recommender.fit(data, recipe, out=tmp_path / "run")
    for key, tensor in whole.model.state_dict().items():
        torch.testing.assert_close(went_on.model.state_dict()[key], tensor)


@pytest.mark.usefixtures("shown")
def test_sasrec_trains_elsewhere(data, tiny, capsys):
    parts = split(data, SplitConfig())
    config = tiny("text", "training.epochs=1", f"training.device={NAME}").training

    def fitted(config):
        return fit_sasrec(parts.train, None, data.n_items, config, 0, dropout=0).model

    here = fitted(config.model_copy(update={"device": "cpu"}))
    with Elsewhere():
        there = fitted(config)
    assert stages_elsewhere(capsys) == {"SASRec"}
    assert there.device.type == "cpu"
    for key, tensor in there.state_dict().items():
        torch.testing.assert_close(tensor, here.state_dict()[key], atol=1e-3, rtol=1e-2)


@pytest.mark.parametrize("name", ["cuda:7", "gpu", "meta"])
def test_a_device_that_is_not_there_is_refused_before_anything_is_done(name, data, tiny, tmp_path):
    # Would be refused too, where the catalogue was built first.
    recipe = tiny("text", f"training.device={name}", "ids.modalities=[smell]")
    with pytest.raises(RecipeError, match=rf"^training.device: found '{name}'.*expected .*cpu"):
        Recommender.fit(data, recipe)
    with pytest.raises(RecipeError, match=rf"^training.device: found '{name}'"):
        compare(data, tmp_path / "runs", ("text",), settings=[f"training.device={name}"])
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_alignment_is_measured_on_the_cpu_wherever_it_was_trained(data, tiny):
    recipe = tiny("late++", "alignment.epochs=1")
    catalogue = build_catalogue(data, recipe, None)
    elsewhere = recipe.override([f"training.device={NAME}"])
    assert aligned(catalogue, elsewhere) == aligned(catalogue, recipe)


def test_the_stand_in_refuses_what_a_gpu_refuses():
    with Elsewhere():
        there = torch.ones(3).to(DEVICE)
        assert (there + torch.tensor(1.0)).cpu().tolist() == [2, 2, 2]
        for stranger in (
            lambda: there + torch.ones(3),
            lambda: there.gather(0, torch.zeros(1, dtype=torch.int64)),
            lambda: there.index_select(0, torch.tensor(0)),
            lambda: torch.zeros(()).add_(there.sum()),
            lambda: torch.stack([there.sum(), torch.tensor(1.0)]),
            lambda: torch.ones(3)[there > 0],
            lambda: there.index_put_((torch.tensor([0, 1]),), torch.ones(2)),
        ):
            with pytest.raises(RuntimeError, match="two devices"):
                stranger()
        there[torch.tensor([1])] = torch.tensor(5.0)
        assert there[torch.tensor([1, 2])].cpu().tolist() == [5, 1]
        with pytest.raises(TypeError, match="expected one on the CPU"):
            there.numpy()
