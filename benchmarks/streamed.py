"""From a data folder with ready-made vectors to codes, in a process of its own.

``python -m benchmarks.streamed FOLDER THREADS`` prints one line of JSON. It is another process than
the benchmark's, so that its peak memory is its own.
"""

from __future__ import annotations

import json
import sys
import time
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import polars as pl
import torch
from numpy.lib import format as npy
from numpy.typing import NDArray

from benchmarks.timing import peak_mib
from mgrec.catalogue import build_catalogue
from mgrec.data.dataset import Dataset
from mgrec.recipe import Recipe


def write(folder: Path, blocks: Iterable[NDArray[np.float32]], rows: int, dim: int) -> None:
    """Write a data folder of so many items, their vectors [rows, dim] block by block."""
    (folder / "embeddings").mkdir(parents=True)
    ids = np.arange(rows)
    pl.DataFrame({"item_id": ids}).write_parquet(folder / "items.parquet")
    log = pl.DataFrame({"user_id": [0, 0, 0], "item_id": [0, 1, 2]})
    log.write_parquet(folder / "interactions.parquet")
    with zipfile.ZipFile(folder / "embeddings" / "text.npz", "w") as archive:
        with archive.open("item_id.npy", "w", force_zip64=True) as member:
            npy.write_array(member, ids)
        with archive.open("emb.npy", "w", force_zip64=True) as member:
            header = {"descr": "<f4", "fortran_order": False, "shape": (rows, dim)}
            npy.write_array_header_1_0(member, header)
            for block in blocks:
                member.write(block.tobytes())


def main() -> None:
    torch.set_num_threads(int(sys.argv[2]))
    imported, begun = peak_mib(), time.process_time()
    data = Dataset.read(Path(sys.argv[1]))
    read = time.process_time()
    catalogue = build_catalogue(data, Recipe.named("text"))
    found = {
        "items": catalogue.n_items,
        "read": read - begun,
        "codes": time.process_time() - read,
        "imported_mib": imported,
        "peak_mib": peak_mib(),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
