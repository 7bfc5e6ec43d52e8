"""How decoding and training grow with the catalogue, the ID, the history, the beams and the log."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks.figure import Figure, bounded
from benchmarks.large import drawn_ids, drawn_log
from benchmarks.timing import ROUNDS, forget_peak, medians, peak_mib
from mgrec import Recipe
from mgrec.configs import SearchConfig
from mgrec.model.generator import Generator
from mgrec.model.next_item import NextItem
from mgrec.model.training import train
from mgrec.search.ranking import plan, top

BATCH = 32
ITEMS, HISTORY, BEAMS = 12_000, 20, 50
LEVELS = {"late": {"text": 4, "image": 3}, "paper-text": {"text": 4}}
LENGTHS = {4: (3, 0), 8: (4, 3), 12: (6, 5), 16: (8, 7)}  # tokens: levels of text and of image
# What grows, along which values; everything else stays as above.
AXES: dict[str, tuple[int, ...]] = {
    "items": (10_000, 100_000, 1_000_000, 10_000_000),
    "tokens": tuple(LENGTHS),
    "history": (10, 50, 200, 1000),
    "beams": (10, 50, 200, 500),
    "interactions": (100_000, 1_000_000, 10_000_000),
}
# The paper family reads a history token by token, so that a long one takes minutes a user.
PAPER: dict[str, tuple[int, ...]] = {
    "items": AXES["items"],
    "history": (10, 50, 200),
    "beams": AXES["beams"],
}
SHORT: dict[str, tuple[int, ...]] = {"items": (1000, 4000), "interactions": (10_000, 20_000)}


def run(quick: bool, data: Path | None) -> list[Figure]:
    """Measure every point in a process of its own, so that its peak of memory is its own."""
    figures = []
    for recipe, axes in (("late", AXES), ("paper-text", PAPER)):
        for axis, values in axes.items():
            if quick:
                values = SHORT.get(axis, ())
            if values:
                points = [_measured(recipe, axis, value) for value in values]
                figures += _figures(recipe, axis, values, points)
    return figures


def _measured(recipe: str, axis: str, value: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.growth", recipe, axis, str(value)]
    command += ["--threads", str(torch.get_num_threads())]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    if found.returncode:
        raise RuntimeError(f"growth, {axis} {value}: {found.stderr.strip().splitlines()[-1]}")
    point: dict[str, float] = json.loads(found.stdout)
    return point


def _figures(
    recipe: str, axis: str, values: tuple[int, ...], points: list[dict[str, float]]
) -> list[Figure]:
    what = "an epoch" if axis == "interactions" else "a user"
    family = "paper family" if recipe.startswith("paper") else "default model"
    figures = [
        Figure(
            f"{family}, {what}, {axis} {value:,}",
            point["ms"],
            "ms",
            note=f"peak {point['peak']:,.0f} MiB, of which {point['grown']:,.0f} in the run"
            + (f", {point['planned']:,.0f} predicted" if "planned" in point else ""),
        )
        for value, point in zip(values, points, strict=True)
    ]
    if axis == "items":
        ratio = points[-1]["ms"] / points[0]["ms"]
        ends = f"{values[-1]:,} items over {values[0]:,}"
        figures.append(bounded(f"{family}, decode time at {ends}", ratio, "times", 1.3))
    return figures


def decoding(recipe: str, axis: str, value: int) -> dict[str, float]:
    """Return milliseconds a user, and MiB."""
    sizes = {"items": ITEMS, "history": HISTORY, "beams": BEAMS} | {axis: value}
    levels = dict(LEVELS[recipe])
    if axis == "tokens":
        levels = dict(zip(("text", "image"), LENGTHS[value], strict=True))
        levels = {name: depth for name, depth in levels.items() if depth}
        recipe = "late" if len(levels) > 1 else "text"
    ids = drawn_ids(sizes["items"], levels)
    histories = drawn_log(BATCH, sizes["items"], sizes["history"])
    torch.manual_seed(0)
    config = Recipe.named(recipe).override([f"model.history={sizes['history']}"]).model
    model = Generator(config, ids, {}).eval()
    search, beams = SearchConfig(), sizes["beams"]
    before = forget_peak()
    (seconds,) = medians(lambda: top(model, histories, beams, beams, search), rounds=ROUNDS)
    return {
        "ms": 1000 * seconds / BATCH,
        "peak": peak_mib(),
        "grown": peak_mib() - before,
        "planned": plan(model, beams, search).memory / 2**20,
    }


def training(recipe: str, value: int) -> dict[str, float]:
    """Return the milliseconds of an epoch; a log that takes hours is timed on its first steps."""
    users = value // 20
    log = drawn_log(users, ITEMS, 20)
    ids = drawn_ids(ITEMS, LEVELS[recipe])
    torch.manual_seed(0)
    chosen = Recipe.named(recipe)
    model = Generator(chosen.model, ids, {})
    before = forget_peak()
    task = NextItem(model, log, chosen.training, seed=0)
    begun = time.perf_counter()
    batches = task.batches(0)
    laid = time.perf_counter() - begun
    few = NextItem(model, log.select(np.arange(min(users, 5000))), chosen.training, seed=0)
    steps = len(few.batches(0))
    begun = time.perf_counter()
    train(few, chosen.training, epochs=1, seed=0)
    step = (time.perf_counter() - begun) / steps
    return {
        "ms": 1000 * (laid + step * len(batches)),
        "peak": peak_mib(),
        "grown": peak_mib() - before,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", choices=tuple(LEVELS))
    parser.add_argument("axis", choices=tuple(AXES))
    parser.add_argument("value", type=int)
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    if chosen.axis == "interactions":
        print(json.dumps(training(chosen.recipe, chosen.value)))
    else:
        print(json.dumps(decoding(chosen.recipe, chosen.axis, chosen.value)))


if __name__ == "__main__":
    main()
