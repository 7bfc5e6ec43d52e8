"""What a library owes the process that it runs in: silence, no traces, no hangs."""

import os
import random
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

import mgrec
from mgrec import Dataset, Recommender
from mgrec.data.features import Embeddings

IMPORT = """
import os, random, signal, sys, threading, warnings
import numpy, polars, torch  # polars sets a variable of its own
before = dict(os.environ), [str(f) for f in warnings.filters], signal.getsignal(signal.SIGINT)
import mgrec
assert (dict(os.environ), [str(f) for f in warnings.filters]) == before[:2]
assert signal.getsignal(signal.SIGINT) is before[2]
assert threading.active_count() == 1
[getattr(mgrec, name) for name in mgrec.__all__]
assert dict(os.environ) == before[0]
assert signal.getsignal(signal.SIGINT) is before[2]
heavy = "sentence_transformers transformers PIL ray fastapi uvicorn starlette matplotlib jinja2"
assert not [name for name in heavy.split() if name in sys.modules]
assert mgrec.errors.RequestError
try:
    mgrec.nothing
except AttributeError:
    pass
else:
    raise AssertionError
"""


def python(code, *arguments, **options):
    environment = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=240,
        env=environment | {"OMP_NUM_THREADS": "1"},
        **options,
    )


def test_importing_changes_nothing_in_the_process():
    found = python(IMPORT)
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


def test_the_command_line_sets_the_waiting_of_threads_before_torch():
    code = """
import os, sys
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            print(os.environ.get("OMP_WAIT_POLICY"))
            sys.meta_path.remove(self)
sys.meta_path.insert(0, Watch())
import mgrec.cli, torch
"""
    assert python(code).stdout == "PASSIVE\n"


def state():
    """Everything of the process that a call might change."""
    drawn = torch.get_rng_state().tolist(), random.getstate()
    return {
        "torch": drawn[0],
        "random": drawn[1],
        "numpy": str(np.random.get_state()),  # noqa: NPY002
        "threads": torch.get_num_threads(),
        "type": torch.get_default_dtype(),
        "precision": torch.get_float32_matmul_precision(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "gradients": torch.is_grad_enabled(),
        "warnings": list(warnings.filters),
        "environment": dict(os.environ),
        "signals": [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)],
        "working folder": Path.cwd(),
    }


VERBS = {
    "recommend": lambda made, item: made.recommend(history=[item], k=3, where="season is not null"),
    "evaluate": lambda made, item: made.evaluate(),
    "explain": lambda made, item: made.explain(item, [item]),
    "similar": lambda made, item: made.similar(item),
    "add": lambda made, item: made.add_items(
        pl.DataFrame({"item_id": ["new"]}),
        embeddings={
            name: Embeddings(np.ones((1, known.dim), np.float32), np.ones(1, bool))
            for name, known in made.catalogue.vectors.items()
        },
    ),
    "remove": lambda made, item: made.remove_items([item]),
}


@pytest.mark.parametrize("verb", VERBS)
def test_asking_leaves_the_process_as_it_was(verb, store, capfd):
    before = state()
    VERBS[verb](store, store.catalogue.item_ids[0])
    assert state() == before
    assert capfd.readouterr() == ("", "")


def test_fitting_saving_and_loading_leave_the_process_as_it_was(data, tiny, tmp_path, capfd):
    before = state()
    fields = ["training.epochs=1", "model.repeat=true", "model.experts.views=[id,text]"]
    made = Recommender.fit(data, tiny("late++", *fields), out=tmp_path / "run", final=True)
    assert state() == before
    made.recommend_all(tmp_path / "all.parquet", k=2)
    mgrec.load(tmp_path / "run")
    assert state() == before
    assert capfd.readouterr() == ("", "")


def test_a_fit_does_not_depend_on_the_random_state(data, tiny):
    recipe = tiny("late++", "training.epochs=1")
    torch.manual_seed(1)
    one = Recommender.fit(data, recipe).model.state_dict()
    torch.manual_seed(2)
    other = Recommender.fit(data, recipe).model.state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_messages_are_logged_and_printed_only_when_asked_for(data, tiny, caplog, capfd):
    recipe = tiny("text", "training.epochs=1")
    with caplog.at_level("INFO", "mgrec"):
        Recommender.fit(data, recipe)
    assert any("training: epoch 1" in record.getMessage() for record in caplog.records)
    assert capfd.readouterr() == ("", "")
    mgrec.show_progress()
    mgrec.show_progress()  # twice is once
    try:
        Recommender.fit(data, recipe)
    finally:
        mgrec.show_progress(False)
    printed = capfd.readouterr()
    assert printed.err.count("training: epoch 1") == 1
    assert printed.out == ""
    Recommender.fit(data, recipe)
    assert capfd.readouterr() == ("", "")


CHILD = """
import faulthandler, json, os, sys
import mgrec, numpy as np, polars as pl
run, shop, asked, how = sys.argv[1:]
made = None
if how != "unused":
    made = mgrec.load(run)
data = mgrec.Dataset.read(shop) if how == "warm" else None
if how == "warm":
    made.recommend(user="u003", k=2)
item = "i005"
new = pl.DataFrame({"item_id": ["new"]})
VERBS = {
    "recommend": lambda: made.recommend(user="u003", k=2),
    "where": lambda: made.recommend(user="u003", k=2, where="item_id == 'i001'"),
    "evaluate": lambda: made.evaluate(),
    "explain": lambda: made.explain(item, [item]),
    "similar": lambda: made.similar(item),
    "check": lambda: made.check(mgrec.Request(history=[item])),
    "top": lambda: made.top(made.users.log, 3),
    "add_items": lambda: made.add_items(new),
    "remove_items": lambda: made.remove_items([item]),
    "save": lambda: made.save(run + "-2"),
    "recommend_all": lambda: made.recommend_all(run + ".parquet", 2),
    "load": lambda: mgrec.load(run).recommend(user="u003", k=2),
    "read": lambda: mgrec.Dataset.read(shop),
    "from_frames": lambda: mgrec.Dataset.from_frames(None, new),
    "fit": lambda: mgrec.Recommender.fit(data, "text"),
}
names = list(VERBS) if asked == "all" else [asked]
sys.stdout.flush()
child = os.fork()
if not child:
    faulthandler.dump_traceback_later(60, exit=True)
    for name in names:
        try:
            VERBS[name]()
            print(name, "works")
        except mgrec.errors.MgrecError as error:
            print(name, type(error).__name__, error)
    sys.stdout.flush()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
if made is not None:
    print("parent", len(made.recommend(user="u003", k=2)))
"""


@pytest.fixture(scope="module")
def saved(trained, data, world, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fork")
    trained.save(folder / "run")
    (folder / "shop").mkdir()
    world.interactions.write_parquet(folder / "shop" / "interactions.parquet")
    return folder


forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@forks
@pytest.mark.parametrize("how", ["cold", "warm"])
def test_every_verb_in_a_forked_child_says_what_to_do(saved, how):
    found = python(CHILD, saved / "run", saved / "shop", "all", how)
    assert found.returncode == 0, found.stderr
    *lines, parent = found.stdout.splitlines()
    assert parent == "parent 2"
    assert len(lines) == 15
    for line in lines:
        assert line.split(" ", 2)[1] == "ProcessError"
        assert "forked after mgrec was loaded: use the 'spawn' or 'forkserver'" in line


@forks
def test_a_child_forked_before_anything_was_loaded_works(saved):
    found = python(CHILD, saved / "run", saved / "shop", "load", "unused")
    assert found.stdout == "load works\n", found.stderr
    found = python(CHILD, saved / "run", saved / "shop", "read", "unused")
    assert found.stdout == "read works\n", found.stderr


@forks
@pytest.mark.slow
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_other_start_methods_work_as_the_message_says(saved, method, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        f"""
import multiprocessing, mgrec
def ask(path):
    return mgrec.load(path).recommend(user="u003", k=2).item_ids
if __name__ == "__main__":
    made = mgrec.load({str(saved / "run")!r})
    with multiprocessing.get_context({method!r}).Pool(2) as pool:
        [one] = pool.map(ask, [{str(saved / "run")!r}])
    assert one == made.recommend(user="u003", k=2).item_ids
    print("as in the parent")
"""
    )
    found = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=240, check=False
    )
    assert found.stdout == "as in the parent\n", found.stderr


def test_a_dataset_is_read_in_silence(saved, capfd):
    Dataset.read(saved / "shop")
    assert capfd.readouterr() == ("", "")
