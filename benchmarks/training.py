"""Training: targets a second of Hugging Face's T5 in sliding windows, and of ours.

T5 is trained as TIGER and GRID train it: one target an example, shuffled, padded to the batch's
longest. Ours go through `mgrec.model.training.train`, as users' do: batches, noise, clipping.
All take turns, so that a busy moment meets all alike.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.figure import Figure, faster
from benchmarks.planted import Shop, embeddings_of, ids_of, make_shop
from benchmarks.t5 import to_t5, tokens_of
from benchmarks.timing import ROUNDS, medians
from mgrec.data.sequences import Sequences
from mgrec.ids.semantic_ids import SemanticIds
from mgrec.ids.trie import Trie
from mgrec.model.generator import Generator
from mgrec.model.next_item import NextItem, sliding
from mgrec.model.training import precision, train
from mgrec.recipe import Recipe

LEVELS = {8: {"text": 4, "image": 3}, 4: {"text": 3}}  # by slots; the last one is the digit
NAMES = {4: "text", 8: "late"}  # of the recipes
KINDS = ("float32", "bfloat16")
BATCH, STEPS = 256, 200  # of T5: targets a step; steps timed, in as many blocks as rounds
TRIAL = 4  # steps that show in which precision T5 is faster; that one takes all of them
OURS = 40_000  # targets of our epochs
LEAST = {("default", 8): 60.0}  # what the project asks for

Work = Callable[[], int]  # trains, and returns on how many targets


def run(quick: bool, data: Path | None) -> list[Figure]:
    """Measure IDs of 4 and of 8 tokens; `data` is not used, since the log is planted."""
    shop = make_shop(2_000, 2_000) if quick else make_shop()
    steps = 2 if quick else STEPS // ROUNDS
    figures = []
    for slots, levels in LEVELS.items():
        ids = ids_of(shop, levels)
        works = {(name, kind): work for name, kind, work in _works(shop, ids, slots, steps)}
        tried = {kind: works["T5", kind].trial(min(TRIAL, steps)) for kind in KINDS}
        slower = min(KINDS, key=lambda kind, tried=tried: tried[kind])
        del works["T5", slower]
        taken = medians(*works.values(), rounds=2 if quick else ROUNDS, warm=0, clock=a_target)
        rates = dict(zip(works, (1 / seconds for seconds in taken), strict=True))
        rates["T5", slower] = tried[slower]
        figures += compare(rates, slots, f"{depth(ids):.1f} codes name an item on average")
    return figures


def compare(rates: dict[tuple[str, str], float], slots: int, note: str) -> list[Figure]:
    """Return both families' figures, in their best precision and in float32.

    Parameters
    ----------
    rates : targets a second by (T5, paper or default) and precision; the better of T5's is what
        the best of ours is compared with
    """
    used = str(precision("auto", torch.device("cpu"))).removeprefix("torch.")
    said = ", ".join(f"{rates['T5', kind]:,.0f} in {kind}" for kind in KINDS)
    figures = []
    for name, scheme in (("default", "every position"), ("paper", "sliding windows, bucketed")):
        best = max(KINDS, key=lambda kind, name=name: rates[name, kind])
        title = f"training, {name} family ({scheme}), {slots} tokens"
        figures.append(
            faster(
                f"{title}, {best}",
                rates[name, best],
                max(rates["T5", kind] for kind in KINDS),
                "Hugging Face T5, sliding windows, its best precision",
                unit="targets/s",
                least=LEAST.get((name, slots)),
                note=f"T5: {said}; recipes use {used} here; {note}",
            )
        )
        figures.append(
            faster(
                f"{title}, both in float32",
                rates[name, "float32"],
                rates["T5", "float32"],
                "Hugging Face T5, sliding windows",
                unit="targets/s",
            )
        )
    return figures


def a_target(work: Callable[[], object]) -> float:
    """Return the seconds that a target takes."""
    begun = time.perf_counter()
    targets = work()
    assert isinstance(targets, int)
    return (time.perf_counter() - begun) / targets


def depth(ids: SemanticIds) -> float:
    """Return how many codes it takes on average until one item is left."""
    return float(Trie.of(ids).decided.float().mean())


def _works(shop: Shop, ids: SemanticIds, slots: int, steps: int) -> list[tuple[str, str, Work]]:
    """Return what is timed, by name and precision."""
    start = shop.log.offsets[:-1]
    log = shop.log.slices(start, shop.log.offsets[1:] - 2)  # two held out, as in the papers
    few = _some(log, steps * BATCH // 2)
    more = _some(log, OURS)
    vectors = {name: embeddings_of(shop, name) for name in LEVELS[slots]}
    works: list[tuple[str, str, Work]] = []
    for kind in KINDS:
        paper = Recipe.named(f"paper-{NAMES[slots]}").override([f"training.precision={kind}"])
        default = Recipe.named(NAMES[slots]).override([f"training.precision={kind}"])
        torch.manual_seed(0)
        works += [
            ("T5", kind, T5Training(Generator(paper.model, ids, {}), log, kind, steps)),
            ("paper", kind, _epoch(Generator(paper.model, ids, {}), few, paper)),
            ("default", kind, _epoch(Generator(default.model, ids, vectors), more, default)),
        ]
    return works


def _epoch(model: Generator, log: Sequences, recipe: Recipe) -> Work:
    """Return an epoch of our training."""
    task = NextItem(model, log, recipe.training, seed=0)
    targets = int(np.maximum(log.lengths - 1, 0).sum())

    def work() -> int:
        train(task, recipe.training, epochs=1, seed=0)
        return targets

    return work


def _some(log: Sequences, targets: int) -> Sequences:
    """Return as many users, drawn at random, as have about so many targets."""
    order = np.random.default_rng(0).permutation(len(log))
    upto = np.maximum(log.lengths[order] - 1, 0).cumsum()
    return log.select(order[: int(np.searchsorted(upto, targets)) + 1])


class T5Training:
    """A block of steps of Hugging Face's T5, with the weights that the model begins with."""

    def __init__(self, model: Generator, log: Sequences, kind: str, steps: int) -> None:
        self.ids, self.kind, self.steps = model.ids, kind, steps
        self.t5 = to_t5(model.train())
        self.examples = sliding(log, model.config.history)
        self.rng = np.random.default_rng(0)
        # The fused one, the fastest there is: the baseline is not made slow.
        self.optimizer = torch.optim.AdamW(self.t5.parameters(), lr=1e-3, fused=True)

    def trial(self, steps: int) -> float:
        """Return targets a second over a few steps, after one to warm up."""
        self.take(1)
        begun = time.perf_counter()
        self.take(steps)
        return steps * BATCH / (time.perf_counter() - begun)

    def __call__(self) -> int:
        """Take the steps."""
        self.take(self.steps)
        return self.steps * BATCH

    def take(self, steps: int) -> None:
        """Train for some steps."""
        for _ in range(steps):
            tokens, mask, labels = self.batch()
            with torch.autocast("cpu", torch.bfloat16, enabled=self.kind == "bfloat16"):
                loss = self.t5(input_ids=tokens, attention_mask=mask, labels=labels).loss
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()

    def batch(self) -> tuple[Tensor, Tensor, Tensor]:
        """Draw tokens and mask [BATCH, longest], labels [BATCH, slots]."""
        examples, chosen = self.examples, self.rng.integers(0, len(self.examples), BATCH)
        start, last = examples.offsets[chosen], examples.offsets[chosen + 1] - 1
        histories = torch.from_numpy(examples.slices(start, last).padded())
        targets = torch.from_numpy(self.ids.tokens[examples.items[last]]).long()
        labels = targets[:, list(self.ids.target)].contiguous()  # T5 takes a view of them
        return *tokens_of(self.ids, histories), labels
