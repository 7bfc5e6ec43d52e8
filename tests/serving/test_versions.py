"""Every order of two writers, a replacement and a kill leaves the old or the new, whole.

A model says what should be there: two artifacts at most, each with its own changes. Acts are done
to a folder and to the model, and both are compared after every act.
"""

import copy
import itertools
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from mgrec import Recommender, artifact
from mgrec.errors import MgrecError
from mgrec.serving.live import Live

ACTS = ("add", "remove", "rollback")


@dataclass
class Fit:
    """An artifact of the model: which fit it is, and its changes, each ids added and removed."""

    name: str
    changes: list[tuple[set[str], set[str]]] = field(default_factory=list)

    def listed(self, first: set[str]) -> set[str]:
        found = set(first)
        for added, removed in self.changes:
            found = (found | added) - removed
        return found


@dataclass
class Model:
    """What should be in a folder."""

    first: set[str]
    now: Fit
    before: Fit | None = None
    version: int = 0

    @property
    def listed(self) -> set[str]:
        return self.now.listed(self.first)

    def act(self, act: str, item: str) -> bool:
        """Do something; False where it should be refused."""
        if act == "add" and item not in self.listed:
            self.now.changes.append(({item}, set()))
        elif act == "remove" and item in self.listed:
            self.now.changes.append((set(), {item}))
        elif act == "rollback" and self.now.changes:
            self.now.changes.pop()
        elif act == "restore" and self.before and not self.now.changes:
            self.now, self.before = self.before, self.now
        elif act == "replace":
            self.before, self.now = self.now, Fit(item)
        else:
            return False
        return True


class Folder:
    """An artifact's folder, two writers that do not know of each other, and further fits."""

    def __init__(self, run: Path, made: Recommender) -> None:
        self.run, self.made = run, made
        made.save(run)
        self.writers = [Live.open(run), Live.open(run)]
        self.dim = made.catalogue.vectors["text"].dim

    def act(self, act: str, item: str, writer: int = 0) -> bool:
        live = self.writers[writer]
        try:
            if act == "add":
                vector = {"text": ([item], np.ones((1, self.dim)))}
                live.add_items(pl.DataFrame({"item_id": [item]}), embeddings=vector)
            elif act == "remove":
                live.remove_items([item])
            elif act == "rollback":
                live.rollback()
            elif act == "restore":
                artifact.restore(self.run)
            else:
                replace(self.made, fingerprint=item).save(self.run)
        except MgrecError as error:
            return "\n" in str(error)
        return True


def state_of(run: Path) -> tuple[str, set[str], int]:
    """Which fit is there, what it lists, and its version."""
    live = Live.open(run)
    catalogue = live.recommender.catalogue
    listed = set(catalogue.items["item_id"].filter(catalogue.listed).to_list())
    return live.recommender.fingerprint, listed, live.version


def check(folder: Folder, model: Model, tidy: bool = True) -> None:
    name, listed, version = state_of(folder.run)
    assert (name, listed) == (model.now.name, model.listed)
    assert version >= model.version
    model.version = version
    previous = folder.run / "previous"
    assert previous.exists() == (model.before is not None)
    if model.before is not None:
        assert state_of(previous)[:2] == (model.before.name, model.before.listed(model.first))
    assert not (previous / "previous").exists()
    assert not tidy or os.listdir(folder.run.parent) == ["RUN"]  # noqa: PTH208


def run_through(folder: Folder, model: Model, acts: list[tuple[str, str, int]]) -> None:
    for act, item, writer in acts:
        before = model.version
        allowed = model.act(act, item)
        assert folder.act(act, item, writer) == allowed, (act, item, writer)
        check(folder, model)
        assert model.version > before or not allowed
    for live in folder.writers:
        live.refresh()
        assert live.version == model.version
        assert live.recommender.fingerprint == model.now.name


@pytest.fixture(scope="module")
def made(data, tiny):
    return replace(Recommender.fit(data, tiny("late++", "training.epochs=1")), fingerprint="A")


@pytest.fixture
def folder_of(made, tmp_path) -> Iterator[Callable[[], tuple[Folder, Model]]]:
    made.save(tmp_path / "template")

    def fresh() -> tuple[Folder, Model]:
        shutil.rmtree(tmp_path / "place", ignore_errors=True)
        first = set(made.catalogue.items["item_id"].to_list())
        return Folder(tmp_path / "place" / "RUN", made), Model(first, Fit("A"))

    return fresh


def everything() -> list[tuple[str, str, int]]:
    """All single acts: of the first writer, of the second, and of whoever fits or rolls back."""
    own = [(act, "new", writer) for act in ACTS for writer in (0, 1)]
    return [*own, ("replace", "B", 0), ("restore", "", 0)]


def test_a_random_walk_of_two_writers_and_replacements_is_as_the_model_says(folder_of):
    chance = random.Random(0)
    folder, model = folder_of()
    walk = []
    for n in range(25):
        act, item, writer = chance.choice(everything())
        item = chance.choice(["x", "y", "i01"]) if act in ACTS else item and f"fit {n}"
        walk.append((act, item, writer))
    run_through(folder, model, walk)


@pytest.mark.slow
@pytest.mark.parametrize("first", everything(), ids=str)
def test_every_order_of_three_acts_is_as_the_model_says(folder_of, first):
    for rest in itertools.product(everything(), repeat=2):
        folder, model = folder_of()
        run_through(folder, model, [first, *rest])


# A process that acts in a child, which kills itself at a given call on a file of the folder.
ACTOR = """
import os, signal, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from dataclasses import replace
import numpy as np, polars as pl
from mgrec import artifact
from mgrec.recommender import Recommender
from mgrec.serving.live import Live
from mgrec import storage, journal, consistency
import mgrec.progress

EVENTS = {"open", "os.mkdir", "os.rmdir", "os.rename", "os.remove", "os.link"}

def do(run, act, item, step):
    count = 0
    def hook(event, arguments):
        nonlocal count
        if event in EVENTS and (run.parent / str(arguments[0])).is_relative_to(run.parent):
            count += 1
            if count == step:
                os.kill(os.getpid(), signal.SIGKILL)
    if act == "restore":
        sys.addaudithook(hook)
        artifact.restore(run)
    elif act == "replace":
        made = replace(Recommender.load(run.parent.parent / "template"), fingerprint=item)
        sys.addaudithook(hook)
        made.save(run)
    else:
        live = Live.open(run)
        dim = live.recommender.catalogue.vectors["text"].dim
        sys.addaudithook(hook)
        if act == "add":
            vector = {"text": ([item], np.ones((1, dim)))}
            live.add_items(pl.DataFrame({"item_id": [item]}), embeddings=vector)
        elif act == "remove":
            live.remove_items([item])
        else:
            live.rollback()

for line in sys.stdin:
    run, act, item, step = line.rstrip("\\n").split("|")
    child = os.fork()
    if child == 0:
        try:
            do(Path(run).resolve(), act, item, int(step))
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(1)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print({0: "done", -signal.SIGKILL: "killed"}.get(code, code), flush=True)
"""


@pytest.fixture(scope="module")
def actor() -> Iterator[Callable[[Path, str, str, int], str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", ACTOR], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )

    def act(run: Path, name: str, item: str, step: int = 0) -> str:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{run}|{name}|{item}|{step}\n")
        process.stdin.flush()
        return process.stdout.readline().strip()

    yield act
    process.kill()
    process.communicate()


def uploaded(run: Path) -> bytes:
    return (run / "uploads" / "picture.png").read_bytes()


def kill_everywhere(folder_of, actor, act: str, item: str, steps: Iterator[int]) -> None:
    """Kill one act at the given steps, from a folder that has changes, pictures and a past."""
    folder, start = folder_of()
    run, first = folder.run, folder.run.parent.parent / "start"
    (run / "uploads").mkdir()
    (run / "uploads" / "picture.png").write_bytes(b"picture")
    for one, what in (
        ("add", "x"),
        ("replace", "B"),
        *([] if act == "restore" else [("add", "y")]),
    ):
        assert start.act(one, what)
        assert folder.act(one, what)
    shutil.move(run, first)
    for step in steps:
        shutil.rmtree(run.parent)
        shutil.copytree(first, run)
        model = copy.deepcopy(start)
        ended = actor(run, act, item, step)
        old = (model.now.name, model.listed)
        assert model.act(act, item)
        new = (model.now.name, model.listed)
        found = state_of(run)[:2]
        assert found in (old, new), step
        assert found == new or ended == "killed"
        if found == old:
            assert actor(run, act, item) == "done"  # nothing that the dead one left is in its way
        elif act in ("replace", "restore"):
            artifact.settled(run)
        check(folder, model, tidy=act in ("replace", "restore"))
        assert uploaded(run) == b"picture"
        if ended == "done":
            return


def test_an_artifact_with_uploads_can_be_restored_again_and_again(folder_of):
    folder, model = folder_of()
    (folder.run / "uploads").mkdir()
    (folder.run / "uploads" / "picture.png").write_bytes(b"picture")
    for act in ("replace", "restore", "restore", "replace", "restore"):
        assert model.act(act, f"fit {act}")
        assert folder.act(act, f"fit {act}")
        check(folder, model)
        assert uploaded(folder.run) == b"picture"


KILLED = [("add", "z"), ("remove", "i01"), ("rollback", ""), ("replace", "D"), ("restore", "")]


@pytest.mark.parametrize(("act", "item"), KILLED)
def test_an_act_killed_at_some_steps_leaves_the_old_or_the_new(folder_of, actor, act, item):
    kill_everywhere(
        folder_of, actor, act, item, iter((3, 30) if act in ("replace", "restore") else (9,))
    )


@pytest.mark.slow
@pytest.mark.parametrize(("act", "item"), KILLED)
def test_an_act_killed_at_any_step_leaves_the_old_or_the_new(folder_of, actor, act, item):
    stride = 7 if os.environ.get("MGREC_SLOW") == "short" else 1
    kill_everywhere(folder_of, actor, act, item, iter(range(1, 2000, stride)))


ADDER = """
import sys
import numpy as np, polars as pl
from mgrec.serving.live import Live

live = Live.open(sys.argv[1])
dim = live.recommender.catalogue.vectors["text"].dim
print("ready", flush=True)
for n in range(1000):
    item = f"{sys.argv[2]}-{n}"
    vector = {"text": ([item], np.ones((1, dim)))}
    live.add_items(pl.DataFrame({"item_id": [item]}), embeddings=vector)
    print(item, flush=True)
"""


@pytest.mark.slow
def test_what_was_acknowledged_is_there_after_a_replacement_or_before_it(folder_of):
    folder, _ = folder_of()
    command = [sys.executable, "-c", ADDER, str(folder.run)]
    writers = [
        subprocess.Popen([*command, name], stdout=subprocess.PIPE, text=True) for name in "ab"
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    time.sleep(2)
    assert folder.act("replace", "B")
    time.sleep(2)
    acknowledged = []
    for writer in writers:
        writer.kill()
        acknowledged += writer.communicate()[0].split()
    assert len(acknowledged) > 4
    now, before = state_of(folder.run), state_of(folder.run / "previous")
    assert (now[0], before[0]) == ("B", "A")
    assert set(acknowledged) <= now[1] | before[1]
