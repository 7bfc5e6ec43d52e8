"""How long it takes until items that arrive can be recommended, and until that is durable.

::

    python -m benchmarks.arrivals RUN --items 10000
    python -m benchmarks.arrivals RUN --items 500 --encode

A copy of RUN is changed, so that the artifact stays as it is. Vectors are ready-made: those of its
own items, blurred. With --encode, items of a planted world come as texts and pictures instead, and
the same is encoded by nothing but the artifact's encoders, for comparison.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from mgrec.content.pictures import read_picture
from mgrec.data.worlds import make_world
from mgrec.serving.live import Live

WARM = 50  # items that load the encoders


def measure(run: Path, items: int) -> list[str]:
    """Return a line a step."""
    begun = time.perf_counter()
    live = Live.open(run)
    lines = [f"open                  {time.perf_counter() - begun:8.3f} s"]
    catalogue, rng = live.recommender.catalogue, np.random.default_rng(0)
    ids = pl.Series("item_id", range(10**9, 10**9 + items))
    if catalogue.items.schema["item_id"] == pl.String:
        ids = ids.cast(pl.String)
    like = rng.integers(0, catalogue.n_items, items)
    ready = {}
    for name, scaler in catalogue.scalers.items():
        near = scaler.mean + scaler.scale * catalogue.vectors[name].vectors[like]
        blur = rng.normal(0, 0.3 * scaler.scale, near.shape)
        ready[name] = (ids.to_numpy(), (near + blur).astype(np.float32))
    history = catalogue.items["item_id"][:5].to_list()
    for name, step in (
        (f"add {items:,}", lambda: live.add_items(ids.to_frame(), embeddings=ready)),
        ("first request after", lambda: live.recommender.recommend(history=history, only=ids)),
        ("second request", lambda: live.recommender.recommend(history=history)),
        (f"remove {items // 10:,}", lambda: live.remove_items(ids[: items // 10])),
        ("roll back", live.rollback),
    ):
        begun = time.perf_counter()
        found = step()
        lines.append(f"{name:<22}{time.perf_counter() - begun:8.3f} s   {_words(found)}")
    begun = time.perf_counter()
    Live.open(run)
    lines.append(f"open again            {time.perf_counter() - begun:8.3f} s")
    size = sum(file.stat().st_size for file in (run / "live").iterdir())
    return [*lines, f"{size / 2**20:.1f} MiB of changes beside the artifact"]


def encode(run: Path, items: int, folder: Path) -> list[str]:
    """Return a line a step, for items that come as texts and pictures."""
    world = make_world(1, items=items + WARM)  # other words and pictures than the demo's
    world.write(folder)
    table = pl.read_ndjson(folder / "items.jsonl").with_columns(item_id="new-" + pl.col("item_id"))
    live = Live.open(run)
    catalogue, config = live.recommender.catalogue, live.recommender.recipe.content
    taken = [column for column in ("item_id", "text", "image") if column in table.columns]
    live.add_items(table.select(taken)[:WARM], folder=folder)  # loads the encoders
    fresh = table.select(taken)[WARM:]
    begun = time.perf_counter()
    change = live.add_items(fresh, folder=folder)
    whole = time.perf_counter() - begun
    raw = 0.0
    for modality in catalogue.encoders:
        name = config.text_encoder if modality == "text" else config.image_encoder
        encoder: Any = live._encoder(modality, name)  # the same, loaded already
        begun = time.perf_counter()
        if modality == "text":
            encoder.encode([text for text in fresh["text"] if text], config.batch)
        else:
            paths = [folder / path for path in fresh["image"] if path]
            encoder.encode([read_picture(path, encoder.side) for path in paths], config.batch)
        raw += time.perf_counter() - begun
    return [
        f"raw encoders          {raw:8.3f} s   {items:,} texts and pictures",
        f"add {items:,}               {whole:8.3f} s   {change}",
        f"ratio                 {whole / raw:8.2f}",
    ]


def _words(found: object) -> str:
    return str(found) if hasattr(found, "version") else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--encode", action="store_true", help="items of texts and pictures")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "run"
        shutil.copytree(arguments.run, copy)
        if arguments.encode:
            lines = encode(copy, arguments.items, Path(folder) / "world")
        else:
            lines = measure(copy, arguments.items)
        sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
