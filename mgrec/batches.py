"""Tables that are too large for memory: written part by part, read as one file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import polars as pl

from mgrec.folders import new_file, scratch, storing


def parquet_of(parts: Iterable[pl.DataFrame], path: Path) -> None:
    """Write frames of one schema, one at a time, as one Parquet file; replaces it atomically."""
    with scratch(path) as folder:
        files: list[Path] = []
        for part in parts:
            files.append(folder / f"{len(files):08d}.parquet")
            with storing(path):
                part.write_parquet(files[-1])
        with new_file(path) as draft:
            pl.scan_parquet(files, glob=False).sink_parquet(draft)
