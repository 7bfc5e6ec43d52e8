"""A checkpoint gives back exactly what it took, to its own run alone, however that run ended."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from torch import Tensor, nn

from mgrec.catalogue import build_catalogue
from mgrec.errors import ArtifactError
from mgrec.fitting import Checkpoints
from mgrec.model.checkpoint import Checkpoint, flatten, owner, remove, unflatten
from mgrec.recipe import Recipe
from tests.disk import full_disk

MINE = owner(Recipe(), "data")

shared = torch.arange(6.0)
TENSORS = {
    "half": torch.tensor([1.5, float("nan"), -float("inf")], dtype=torch.bfloat16),
    "step": torch.tensor(7.0),
    "count": torch.tensor(2**53 + 1),
    "empty": torch.empty(0, 3, dtype=torch.int64),
    "mask": torch.tensor([True, False]),
    "random": torch.get_rng_state(),
    "columns": torch.arange(6).reshape(2, 3).T,
    "tied": shared,
    "tied too": shared,
    "part": shared[2:4],
    "learned": nn.Parameter(torch.ones(2, dtype=torch.float64)),
}
DOCUMENT = {"epoch": 3, "best": -float("inf"), "words": ["ä", None, True], "big": 2**127}


def same(one: Tensor, two: Tensor) -> bool:
    """Equal in dtype, shape and every bit."""
    if (one.dtype, one.shape) != (two.dtype, two.shape):
        return False
    bits = [t.detach().contiguous().reshape(-1).view(torch.uint8) for t in (one, two)]
    return torch.equal(*bits)


def same_tree(one: Any, two: Any) -> bool:
    """Equal in types, keys, order and every bit."""
    if isinstance(one, Tensor):
        return isinstance(two, Tensor) and same(one, two)
    if isinstance(one, np.ndarray):
        return isinstance(two, np.ndarray) and one.dtype == two.dtype and bool((one == two).all())
    if isinstance(one, dict):
        return list(one) == list(two) and all(same_tree(one[key], two[key]) for key in one)
    if isinstance(one, list | tuple):
        return type(one) is type(two) and len(one) == len(two) and all(map(same_tree, one, two))
    return type(one) is type(two) and one == two


# What was saved is what is loaded


def test_tensors_and_document_come_back_bit_for_bit(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "new" / "folder", MINE)
    checkpoint.save(TENSORS, DOCUMENT)
    loaded = checkpoint.load()
    assert loaded is not None
    tensors, document = loaded
    assert tensors.keys() == TENSORS.keys()
    assert [name for name in TENSORS if not same(tensors[name], TENSORS[name])] == []
    assert document == DOCUMENT


def test_the_last_save_counts_and_one_file_is_all_there_is(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path, MINE)
    (tmp_path / f".{checkpoint.path.name}.0123abcd.tmp").write_text("left by a kill")
    for step in range(3):
        checkpoint.save({"w": torch.full((4,), step)}, {"step": step})
    tensors, document = checkpoint.load() or ({}, None)
    assert (tensors["w"].tolist(), document) == ([2] * 4, {"step": 2})
    assert list(tmp_path.iterdir()) == [checkpoint.path]


def test_the_old_file_is_replaced_and_not_written_over(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path, MINE)
    checkpoint.save(TENSORS, DOCUMENT)
    before = checkpoint.path.read_bytes()
    with checkpoint.path.open("rb") as opened:  # whoever reads it, reads all of it
        checkpoint.save({}, 2)
        assert opened.read() == before
    assert checkpoint.load() == ({}, 2)


def test_a_full_disk_is_one_line_and_leaves_the_old_one(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path, MINE)
    checkpoint.save({}, "old")
    with full_disk(1 << 16), pytest.raises(ArtifactError, match=r"training-.*could not be saved"):
        checkpoint.save({"w": torch.ones(1 << 16)}, "new")
    assert checkpoint.load() == ({}, "old")
    assert list(tmp_path.iterdir()) == [checkpoint.path]


def test_a_document_with_integer_keys_is_sound_though_json_makes_them_words(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path, MINE)
    checkpoint.save({}, {2: "b", 10: "a"})
    assert checkpoint.load() == ({}, {"2": "b", "10": "a"})


def test_the_same_state_gives_the_same_bytes(tmp_path: Path) -> None:
    one, two = Checkpoint(tmp_path / "1", MINE), Checkpoint(tmp_path / "2", MINE)
    one.save(TENSORS, DOCUMENT)
    two.save(dict(reversed(TENSORS.items())), DOCUMENT)
    assert one.path.read_bytes() == two.path.read_bytes()


def test_removing_takes_a_run_s_stages_and_the_folder_only_if_nothing_else_is_in_it(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "c"
    mine, theirs = (owner(Recipe(), data) for data in "ab")
    one, more, two = (
        Checkpoint(folder, mine),
        Checkpoint(folder, mine, "lists-0"),
        Checkpoint(folder, theirs),
    )
    for checkpoint in (one, more, two):
        checkpoint.save({}, 1)
    remove(folder, mine)
    assert one.load() is None
    assert more.load() is None
    assert two.load() == ({}, 1)
    remove(folder, theirs)
    remove(folder, theirs)
    assert list(tmp_path.iterdir()) == []


# Only its own run resumes from it


@pytest.mark.parametrize(
    "other",
    [
        owner(Recipe(seed=1), "data"),
        owner(Recipe().override(["training.epochs=61"]), "data"),
        owner(Recipe(), "data "),
        owner(Recipe(), "data", "final"),
    ],
)
@pytest.mark.usefixtures("shown")
def test_another_run_neither_resumes_nor_overwrites(
    tmp_path: Path, other: str, capsys: pytest.CaptureFixture[str]
) -> None:
    mine, theirs = Checkpoint(tmp_path, MINE), Checkpoint(tmp_path, other)
    assert theirs.load() is None
    assert capsys.readouterr().err == ""
    mine.save({}, "mine")
    assert theirs.load() is None
    assert "another recipe, other data" in " ".join(capsys.readouterr().err.split())
    theirs.save({}, "theirs")
    assert (mine.load(), theirs.load()) == (({}, "mine"), ({}, "theirs"))


@pytest.mark.usefixtures("shown")
def test_each_stage_of_a_run_has_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = (Checkpoint(tmp_path, MINE, stage) for stage in ("alignment", "training"))
    first.save({}, 1)
    assert second.load() is None
    assert capsys.readouterr().err == ""  # it is not another run's
    second.save({}, 2)
    assert (first.load(), second.load()) == (({}, 1), ({}, 2))
    first.path.replace(second.path)
    assert second.load() is None


def test_a_run_whose_codes_came_out_otherwise_does_not_resume(data, tiny, tmp_path: Path) -> None:
    """As with another version of an encoder: the weights that were saved are of other codes."""
    recipe = tiny("text")
    catalogue = build_catalogue(data, recipe)
    ids = replace(catalogue.ids, tokens=catalogue.ids.tokens[::-1].copy())
    before, after = (
        Checkpoints.beside(tmp_path / "run", recipe, data.fingerprint, which, None).of("training")
        for which in (catalogue, replace(catalogue, ids=ids))
    )
    before.save({}, "learnt")
    assert before.load() == ({}, "learnt")
    assert after.load() is None


@pytest.mark.usefixtures("shown")
def test_a_renamed_checkpoint_of_another_run_is_not_resumed_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine, theirs = (Checkpoint(tmp_path, owner(Recipe(), data)) for data in "ab")
    theirs.save({}, 1)
    theirs.path.rename(mine.path)
    assert mine.load() is None
    assert "anew" in capsys.readouterr().err


def test_the_owner_is_the_same_in_every_process() -> None:
    line = (
        "from mgrec.model.checkpoint import owner; from mgrec.recipe import Recipe;"
        "print(owner(Recipe(), 'data'))"
    )
    found = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == MINE


# Damage is noticed


@settings(max_examples=100, deadline=None, database=None)
@given(draw=st.data())
def test_a_damaged_checkpoint_is_never_resumed_from(
    tmp_path_factory: pytest.TempPathFactory, draw: st.DataObject
) -> None:
    checkpoint = Checkpoint(tmp_path_factory.mktemp("damage"), MINE)
    checkpoint.save(TENSORS, DOCUMENT)
    data = bytearray(checkpoint.path.read_bytes())
    place = draw.draw(st.integers(0, len(data) - 1))
    if draw.draw(st.booleans()):
        data[place] ^= draw.draw(st.integers(1, 255))
    else:
        del data[place:]
    checkpoint.path.write_bytes(data)
    assert checkpoint.load() is None


@pytest.mark.parametrize("data", [b"", b"\0" * 64, b"\x02\0\0\0\0\0\0\0{}"])
@pytest.mark.usefixtures("shown")
def test_what_is_no_checkpoint_is_passed_by_with_one_line(
    tmp_path: Path, data: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = Checkpoint(tmp_path, MINE)
    checkpoint.path.write_bytes(data)
    assert checkpoint.load() is None
    assert "corrupt; its training begins anew" in " ".join(capsys.readouterr().err.split())


def test_a_place_that_cannot_be_written_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ArtifactError, match=r"training-.*could not be saved"):
        Checkpoint(tmp_path / "file", MINE).save({}, 1)


# Nested states

leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
arrays = st.sampled_from([np.arange(3), np.array(2, np.uint32), np.zeros((0, 2), np.float32)])
trees = st.recursive(
    leaves | st.sampled_from(list(TENSORS.values())) | arrays,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3)
    ),
    max_leaves=12,
)


@settings(deadline=None, database=None)
@given(trees)
def test_any_nested_state_survives_the_way_through_a_file(
    tmp_path_factory: pytest.TempPathFactory, tree: Any
) -> None:
    checkpoint = Checkpoint(tmp_path_factory.mktemp("tree"), MINE)
    checkpoint.save(*flatten(tree))
    loaded = checkpoint.load()
    assert loaded is not None
    assert same_tree(unflatten(*loaded), tree)


def test_names_that_would_meet_are_kept_apart() -> None:
    tree = {"a.b": torch.ones(1), "a": {"b": torch.zeros(1)}, 1: torch.ones(2), "1": torch.ones(3)}
    assert same_tree(unflatten(*flatten(tree)), tree)


@pytest.mark.parametrize("odd", [{1, 2}, object(), b"x", {(1, 2): 3}, np.int64(3)])
def test_what_would_need_a_pickle_is_refused_by_its_place(odd: object) -> None:
    with pytest.raises(TypeError, match=r"state\.model\.1: found a"):
        flatten({"model": [0, odd]})


OPTIMIZERS: dict[str, Callable[[list[nn.Parameter]], torch.optim.Optimizer]] = {
    "plain": lambda p: torch.optim.AdamW(p, lr=1e-2, weight_decay=0.05),
    "amsgrad": lambda p: torch.optim.AdamW(p, amsgrad=True, betas=(0.8, 0.99)),
    "tensor rate": lambda p: torch.optim.AdamW(p, lr=torch.tensor(1e-2), foreach=False),
    "fused": lambda p: torch.optim.AdamW(p, fused=True),
    "groups": lambda p: torch.optim.AdamW(
        [{"params": p[:1], "weight_decay": 0.0}, {"params": p[1:], "lr": 5e-4}]
    ),
    "momentum": lambda p: torch.optim.SGD(p, lr=1e-2, momentum=0.9),
}


class Run:
    """A small training, all of whose state is in `state`."""

    def __init__(self, kind: str) -> None:
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 1))
        self.optimizer = OPTIMIZERS[kind](list(self.model.parameters()))
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lambda n: 1 / (1 + n))
        self.sampler = np.random.default_rng(0)

    def train(self, steps: int) -> None:
        for _ in range(steps):
            batch = torch.from_numpy(self.sampler.standard_normal((16, 4), np.float32))
            self.optimizer.zero_grad()
            self.model(batch).square().sum().backward()
            self.optimizer.step()
            self.schedule.step()

    @property
    def state(self) -> dict[str, Any]:
        schedule = {k: v for k, v in self.schedule.state_dict().items() if k != "lr_lambdas"}
        return {
            "model": dict(self.model.state_dict()),
            "optimizer": self.optimizer.state_dict(),
            "schedule": schedule,
            "sampler": self.sampler.bit_generator.state,
            "torch": torch.get_rng_state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict({**state["schedule"], "lr_lambdas": [None]})
        self.sampler.bit_generator.state = state["sampler"]
        torch.set_rng_state(state["torch"])


@pytest.mark.parametrize("kind", [k for k in OPTIMIZERS if k not in {"groups", "tensor rate"}])
def test_a_resumed_training_equals_an_uninterrupted_one(tmp_path: Path, kind: str) -> None:
    whole = Run(kind)
    whole.train(9)
    first = Run(kind)
    first.train(4)
    Checkpoint(tmp_path, MINE).save(*flatten(first.state))
    second = Run(kind)
    second.train(2)  # so that nothing is right by chance
    loaded = Checkpoint(tmp_path, MINE).load()
    assert loaded is not None
    second.restore(unflatten(*loaded))
    second.train(5)
    assert same_tree(second.state, whole.state)


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_an_optimizer_state_is_the_same_after_the_way_through_a_file(
    tmp_path: Path, kind: str
) -> None:
    run = Run(kind)
    run.train(3)
    Checkpoint(tmp_path, MINE).save(*flatten(run.optimizer.state_dict()))
    loaded = Checkpoint(tmp_path, MINE).load()
    assert loaded is not None
    assert same_tree(unflatten(*loaded), run.optimizer.state_dict())


def test_any_reader_of_safetensors_can_look_into_it(tmp_path: Path) -> None:
    run = Run("plain")
    run.train(1)
    checkpoint = Checkpoint(tmp_path, MINE)
    checkpoint.save(*flatten(run.state))
    with safe_open(checkpoint.path, framework="np") as opened:
        assert json.loads(opened.metadata()["checkpoint"])["owner"] == MINE
        found = opened.get_tensor("state.model.0.weight")
    np.testing.assert_array_equal(found, run.model[0].weight.detach().numpy())


# Killed at any moment

TRAINER = """
import os, signal, sys, time
from pathlib import Path
import torch
from mgrec.model.checkpoint import Checkpoint, flatten, owner, unflatten
from mgrec.recipe import Recipe

torch.set_num_threads(1)

def train(folder, steps=40):
    checkpoint = Checkpoint(Path(folder), owner(Recipe(), "data"))
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.Dropout(), torch.nn.Linear(32, 1))
    optimizer = torch.optim.AdamW(model.parameters())
    begun, saved = 0, checkpoint.load()
    if saved is not None:
        state = unflatten(*saved)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["random"])
        begun = state["step"]
    for step in range(begun, steps):
        if step % 3 == 0:
            checkpoint.save(*flatten({"model": model.state_dict(), "step": step,
                "optimizer": optimizer.state_dict(), "random": torch.get_rng_state()}))
        optimizer.zero_grad()
        model(torch.randn(16, 8)).square().mean().backward()
        optimizer.step()
    Checkpoint(Path(folder), "weights").save(model.state_dict(), begun)

train(sys.argv[1], steps=2)  # what is imported late is imported once

# Each run in a child that is killed at the given call on a file of ours; at 0 it runs to its end.
for line in sys.stdin:
    folder, step = line.split()
    child = os.fork()
    if child == 0:
        count = 0
        def hook(event, arguments):
            global count
            if event in {"open", "os.rename", "os.remove"} and folder in str(arguments[0]):
                count += 1
                if count == int(step):
                    os.kill(os.getpid(), signal.SIGKILL)
        sys.addaudithook(hook)
        train(folder)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print({0: "done", -signal.SIGKILL: "killed"}.get(code, code), flush=True)
"""


def finish(trainer: "subprocess.Popen[str]", folder: Path, kills: list[int]) -> tuple[Any, int]:
    """Train in ``folder``, killed as told; return the weights, and the step last resumed from."""
    assert trainer.stdin is not None
    assert trainer.stdout is not None
    for step in [*kills, 0]:
        trainer.stdin.write(f"{folder} {step}\n")
        trainer.stdin.flush()
        # A late kill may come to nothing, the training being done by then.
        assert trainer.stdout.readline() in (["killed\n", "done\n"] if step else ["done\n"])
    loaded = Checkpoint(folder, "weights").load()
    assert loaded is not None
    return loaded


def resumed(tmp_path: Path, rounds: int, kills: int) -> None:
    chance, begun = random.Random(0), set()
    with subprocess.Popen(
        [sys.executable, "-c", TRAINER, str(tmp_path / "warm")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as trainer:
        whole, _ = finish(trainer, tmp_path / "whole", [])
        for n in range(rounds):
            moments = [chance.randint(1, 20) for _ in range(kills)]
            weights, resumed_at = finish(trainer, tmp_path / str(n), moments)
            begun.add(resumed_at)
            assert same_tree(weights, whole)
        assert trainer.stdin is not None
        trainer.stdin.close()
    assert len(begun) > 2  # the runs did go on from where they stood


@pytest.mark.slow
def test_a_training_killed_again_and_again_ends_with_the_same_weights(tmp_path: Path) -> None:
    resumed(tmp_path, rounds=5, kills=3)


@pytest.mark.slow
def test_many_trainings_killed_ever_again_end_with_the_same_weights(tmp_path: Path) -> None:
    resumed(tmp_path, rounds=20 if os.environ.get("MGREC_SLOW") == "short" else 150, kills=6)
