"""Tables that are too large for memory: written part by part, read as one file."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

import polars as pl

from mgrec.folders import new_file


def parquet_of(parts: Iterable[pl.DataFrame], path: Path) -> None:
    """Write frames of one schema, one at a time, as one Parquet file; replaces it atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        for number, part in enumerate(parts):
            part.write_parquet(Path(folder) / f"{number:08d}.parquet")
        with new_file(path) as draft:
            pl.scan_parquet(Path(folder) / "*.parquet").sink_parquet(draft)
