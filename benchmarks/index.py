"""The catalogue's index: to build it, to keep it, to map it from an artifact, to filter in it."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.figure import Figure, bounded, faster
from benchmarks.timing import medians, seconds
from mgrec.artifact import Contents, read, write
from mgrec.ids.kept import Kept
from mgrec.ids.trie import Trie
from mgrec.recipe import Recipe

LARGE = 10_000_000  # items

# Slots as the layouts have them: one code more than the codebook, for what is missing.
SHAPES = {
    "4 x 256": (257,) * 4,
    "4 x 1,024": (1025,) * 4,
    "8 x 256": (257,) * 8,
    "2 modalities, 10 slots": (257,) * 4 + (1,) + (257,) * 4 + (256,),
}


def run(quick: bool, data: Path | None) -> list[Figure]:
    """Return the figures; `data` is not needed, since codes are drawn."""
    large, small = (100_000, 10_000) if quick else (LARGE, LARGE // 10)
    rounds = 1 if quick else 5
    figures = []
    for name, sizes in SHAPES.items():
        figures += _building(name, skewed_codes(large, sizes), sizes, rounds)
    codes = skewed_codes(large, SHAPES["4 x 256"])
    figures.append(_loading(codes, SHAPES["4 x 256"], rounds))
    for items in (small, large):
        figures += _masking(codes[:items], SHAPES["4 x 256"], rounds)
    return figures


def skewed_codes(items: int, sizes: tuple[int, ...], seed: int = 0) -> NDArray[np.int32]:
    """Draw int32 [items, slots], all rows different, some codes ten times likelier than others.

    The last code of a slot, which stands for "missing", is not drawn.
    """
    rng = np.random.default_rng(seed)
    codes = _draw(rng, items, sizes)
    if np.prod(sizes, dtype=float) > 2.0**62:  # of so many, two alike are not to be expected
        return codes
    while True:
        key = np.ravel_multi_index(tuple(codes.T), sizes)
        codes = codes[np.unique(key, return_index=True)[1]]
        if len(codes) >= items:
            return codes[rng.permutation(len(codes))[:items]]
        codes = np.concatenate([codes, _draw(rng, items, sizes)])


def _draw(rng: np.random.Generator, items: int, sizes: tuple[int, ...]) -> NDArray[np.int32]:
    codes = np.empty((items, len(sizes)), np.int32)
    for slot, size in enumerate(sizes):
        codes[:, slot] = rng.random(items) ** 1.7 * max(1, size - 1)
    return codes


def _building(
    name: str, codes: NDArray[np.int32], sizes: tuple[int, ...], rounds: int
) -> list[Figure]:
    (build,) = medians(lambda: Trie.build(codes, sizes), rounds=rounds, clock=seconds)
    size = Trie.build(codes, sizes).nbytes / len(codes)
    what = f"{len(codes):,} items, {name}"
    if name != "4 x 256" or len(codes) < LARGE:  # other budgets are stated, not set
        return [Figure(f"build, {what}", build, "CPU s"), Figure(f"size, {what}", size, "B/item")]
    return [
        bounded(f"build, {what}", build, "CPU s", 3),
        bounded(f"size, {what}", size, "B/item", 16, note="all arrays"),
    ]


def _loading(codes: NDArray[np.int32], sizes: tuple[int, ...], rounds: int) -> Figure:
    """Compare mapping the trie from an artifact, every hash compared, with building it."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "RUN"
        write(path, Contents(Recipe(), tensors={"trie": Trie.build(codes, sizes).state()}))
        build, load = medians(
            lambda: Trie.build(codes, sizes),
            lambda: Trie.from_state(read(path).tensors["trie"]),
            rounds=rounds,
            clock=seconds,
        )
    return faster(
        f"load, {len(codes):,} items, 4 x 256",
        1 / load,
        1 / build,
        "building it",
        unit="per CPU s",
        note="from an artifact, hashes compared",
    )


def _masking(codes: NDArray[np.int32], sizes: tuple[int, ...], rounds: int) -> list[Figure]:
    trie = Trie.build(codes, sizes)
    keep = torch.from_numpy(np.random.default_rng(1).random(len(codes)) < 0.05)

    def everywhere() -> None:
        kept = Kept.of(trie, keep)
        for level in range(trie.depth):
            kept.empty(level)

    count, all_levels = medians(
        lambda: Kept.of(trie, keep), everywhere, rounds=rounds, clock=seconds
    )
    what = f"attribute mask, {len(codes):,} items"
    return [
        Figure(f"{what}, counted along the leaves", count * 1000, "CPU ms"),
        Figure(f"{what}, and at every level", all_levels * 1000, "CPU ms"),
    ]
