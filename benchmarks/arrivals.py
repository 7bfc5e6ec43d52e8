"""How long it takes until items that arrive can be recommended, and until that is durable.

::

    python -m benchmarks.arrivals RUN --items 10000

A copy of RUN is changed, so that the artifact stays as it is. Vectors are ready-made: those of its
own items, blurred.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl
import torch

from mgrec.serving.live import Live


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


def _words(found: object) -> str:
    return str(found) if hasattr(found, "version") else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--items", type=int, default=10_000)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "run"
        shutil.copytree(arguments.run, copy)
        sys.stdout.write("\n".join(measure(copy, arguments.items)) + "\n")


if __name__ == "__main__":
    main()
