"""Filters inside the beam search: what they cost, and what filtering its answers would leave."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.figure import Figure, bounded
from benchmarks.index import skewed_codes
from benchmarks.timing import medians, seconds
from mgrec.configs import IdsConfig, ModelConfig
from mgrec.data.features import Codes
from mgrec.ids.filters import Filter
from mgrec.ids.kept import Kept
from mgrec.ids.semantic_ids import build
from mgrec.model.decoder import Context
from mgrec.model.generator import Generator
from mgrec.search.beam import beam_search

KEPT = 0.05  # of the catalogue has the attribute
SEEN = 50  # items that each user already has
SIZES = (256,) * 3
ROUNDS = 41  # of some milliseconds each


def run(quick: bool, data: Path | None) -> list[Figure]:
    """Return the figures; `data` is not needed: models and codes are random."""
    figures = []
    for items in (2_000,) if quick else (12_000, 100_000):
        figures += _one(items, users=8 if quick else 32, rounds=1 if quick else ROUNDS)
    return figures


def _one(items: int, users: int, rounds: int) -> list[Figure]:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    model = random_generator(items)
    keep = torch.from_numpy(rng.random(items) < KEPT)
    seen = torch.from_numpy(rng.integers(0, items, (users, SEEN)))
    kept = Kept.of(model.trie, keep)
    with torch.inference_mode():
        context = model.context(seen)
    own = [Kept.of(model.trie, torch.from_numpy(rng.random(items) < KEPT)) for _ in range(users)]
    figures = []
    for beams in (20, 50):
        figures += _extra(model, context, kept, own, seen, beams, rounds)
    return [*figures, _left(model, context, kept, keep)]


def _extra(
    model: Generator,
    context: Context,
    kept: Kept,
    own: list[Kept],
    seen: Tensor,
    beams: int,
    rounds: int,
) -> list[Figure]:
    """Compare beam searches with filters, made anew from a mask that is at hand, and without.

    A mask that keeps all changes nothing in the search: what it adds is the filter's own cost. One
    that keeps little also leaves the search with more beams to grow, as fewer end early. Whoever
    asks for a ranking waits for the reading of histories too, which no filter changes.
    """
    everything = Kept.of(model.trie, torch.ones(model.trie.n_items, dtype=torch.bool))

    def read() -> None:
        with torch.inference_mode():
            model.context(seen)

    def search(keep: Kept | list[Kept] | None = None, exclude: Tensor | None = None) -> None:
        beam_search(model, context, beams, Filter.of(model.trie, keep, exclude))

    (reading,) = medians(read, rounds=rounds, clock=seconds)  # in the turns it would cool caches
    free, *filtered = medians(
        lambda: beam_search(model, context, beams),
        lambda: search(everything),
        lambda: search(kept),
        lambda: search(exclude=seen),
        lambda: search(kept, seen),
        lambda: search(own),
        rounds=rounds,
        clock=seconds,
    )
    names = (
        "all kept",
        f"{KEPT:.0%} kept by an attribute",
        f"{SEEN} seen items a user left out",
        "both",
        f"another {KEPT:.0%} kept for each user",
    )
    size = f"{model.trie.n_items:,} items, {beams} beams, {len(seen)} users"
    figures = []
    for name, taken in zip(names, filtered, strict=True):
        note = f"{size}: {taken * 1000:.1f} against {free * 1000:.1f} CPU ms"
        extra = (taken / free - 1) * 100
        figures.append(bounded(f"extra search time, {name}", extra, "%", 5, note=note))
        extra = (taken - free) / (reading + free) * 100
        note = f"{size}: and {reading * 1000:.1f} CPU ms to read histories of {SEEN} items"
        figures.append(Figure(f"extra ranking time, {name}", extra, "%", note=note))
    return figures


def _left(model: Generator, context: Context, kept: Kept, keep: Tensor) -> Figure:
    """Return how many allowed items 20 beams find, and how many are left of them afterwards."""
    inside, _ = beam_search(model, context, 20, Filter.of(model.trie, kept))
    after, _ = beam_search(model, context, 20)
    found = (inside >= 0).sum(1).float().mean().item()
    left = keep[after].sum(1).float().mean().item()
    return Figure(
        f"allowed items a user, {KEPT:.0%} kept",
        found,
        "of 20",
        left,
        "filtering 20 finished beams",
        found / left if left else None,
        note=f"{len(keep):,} items",
    )


def random_generator(items: int) -> Generator:
    """Return an untrained model of the default family over skewed text codes."""
    codes = skewed_codes(items, tuple(size + 1 for size in SIZES))
    text = Codes(codes, np.ones(items, bool), SIZES)
    ids = build({"text": text}, IdsConfig(fusion="unimodal", modalities=("text",)))
    return Generator(ModelConfig(), ids, {}).eval()
