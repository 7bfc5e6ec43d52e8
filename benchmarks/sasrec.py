"""SASRec's training: RecTools', ours, and our default model, as many epochs of the same log."""

from __future__ import annotations

import statistics
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.figure import Figure
from benchmarks.planted import Shop, embeddings_of, ids_of, make_shop
from mgrec.configs import ModelConfig
from mgrec.data.sequences import Sequences
from mgrec.measure.metrics import metric, ranks_of
from mgrec.model.experts import Expert
from mgrec.model.generator import Generator
from mgrec.model.next_item import NextItem
from mgrec.model.next_name import NextName
from mgrec.model.training import Progress, train
from mgrec.model.views import NameView
from mgrec.recipe import Recipe
from mgrec.search.ranking import top

ROOT = Path(__file__).parents[1]
ENVIRONMENT = ROOT / ".venv-rectools"
MAKE = "make .venv-rectools/.for-bench"
ASKED = 2_000  # users, of whom the last item is asked for

Trained = tuple[float, NDArray[np.int64]]  # median seconds an epoch; ten items for all asked


def run(quick: bool, data: Path | None) -> list[Figure]:
    """Measure seconds an epoch; `data` is not used, since the log is planted."""
    shop = make_shop(600, 500) if quick else make_shop()
    epochs = 1 if quick else 3
    log = shop.log.slices(shop.log.offsets[:-1], shop.log.offsets[1:] - 1)
    asked = np.random.default_rng(0).permutation(len(log))[: 100 if quick else ASKED]
    targets = shop.log.items[shop.log.offsets[asked + 1] - 1]

    theirs = rectools(log, asked, epochs, ModelConfig().history)
    if theirs is None:
        print(f"SASRec: no environment in {ENVIRONMENT.name}, expected one: {MAKE}")
    figures = []
    for name, fit in (("default family, 4 tokens", _default), ("SASRec of mgrec", _sasrec)):
        seconds, found = fit(shop, log, asked, epochs)
        figures.append(compare(name, seconds, ndcg(found, targets), theirs, targets))
    return figures


def compare(
    name: str, seconds: float, gain: float, theirs: Trained | None, targets: NDArray[np.int32]
) -> Figure:
    """Return the figure of one of ours, with what both had learned by then."""
    title, unit = f"training, {name}", "s an epoch"
    note = f"NDCG@10 after it {gain:.4f}"
    if theirs is None:
        return Figure(title, seconds, unit, note=note)
    note += f", RecTools' {ndcg(theirs[1], targets):.4f}"
    against = "RecTools SASRec"
    return Figure(title, seconds, unit, theirs[0], against, theirs[0] / seconds, note=note)


def ndcg(found: NDArray[np.int64], targets: NDArray[np.int32]) -> float:
    """Return the mean NDCG@10 of lists [asked, 10]."""
    return float(metric(ranks_of(found, targets), "NDCG@10").mean())


def rectools(log: Sequences, asked: NDArray[np.int64], epochs: int, history: int) -> Trained | None:
    """Train RecTools' SASRec of our dimensions in its environment; None where there is none."""
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        return None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        users = np.repeat(np.arange(len(log)), log.lengths)
        settings = {"epochs": epochs, "history": history, "threads": torch.get_num_threads()}
        np.savez(folder / "log.npz", users=users, items=log.items, asked=asked, **settings)
        # -P: the modules beside the script are no packages of that environment.
        # Its warnings are about RecTools' own insides.
        script = Path(__file__).with_name("rectools_sasrec.py")
        subprocess.run([python, "-P", "-W", "ignore", script, folder], check=True, cwd=folder)
        out = np.load(folder / "out.npz")
        return statistics.median(out["seconds"].tolist()), out["top"]


def _default(shop: Shop, log: Sequences, asked: NDArray[np.int64], epochs: int) -> Trained:
    """Train the recipe `text`."""
    recipe = Recipe.named("text")
    torch.manual_seed(0)
    vectors = {"text": embeddings_of(shop, "text")}
    model = Generator(recipe.model, ids_of(shop, {"text": 3}), vectors)
    task = NextItem(model, log, recipe.training, seed=0)
    done = train(task, recipe.training, epochs=epochs, seed=0)
    found, _ = top(model, log.select(asked), 10, recipe.search.beams, recipe.search)
    return _an_epoch(done), found


def _sasrec(shop: Shop, log: Sequences, asked: NDArray[np.int64], epochs: int) -> Trained:
    """Train SASRec as the study room does."""
    config = Recipe.named("text").training
    torch.manual_seed(0)
    sizes = ModelConfig(dropout=0.5)
    model = Expert(NameView(shop.n_items, sizes.dim), sizes)
    done = train(NextName(model, log, config, seed=0), config, epochs=epochs, seed=0)
    return _an_epoch(done), model.top(log.select(asked), 10)


def _an_epoch(done: Progress) -> float:
    upto = [0.0, *(epoch["seconds"] for epoch in done.curve)]
    return statistics.median(np.diff(upto).tolist())
