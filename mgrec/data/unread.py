"""Warnings about files of a data folder that are not read, such as misspelt names."""

from __future__ import annotations

import os
from collections.abc import Collection
from itertools import islice
from pathlib import Path

import polars as pl

from mgrec.data import ready
from mgrec.data.notes import Notebook
from mgrec.data.tables import short

_TABLES = (
    "items.parquet, .csv or .jsonl, interactions.parquet, .csv or .jsonl, or sequences.txt (each"
    " also as .gz), and the folders embeddings and codes"
)
# About the data, or written by mgrec itself.
_PAPERS = ("readme", "license", "licence", "changelog", "citation", "report.html")
_OWN = ("broken_pictures.csv",)
_PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif")
_ARRAYS = ("embeddings", "codes")


def about(root: Path, read: Collection[Path], images: pl.Series | None, notes: Notebook) -> None:
    """Warn of everything in a data folder that is not read.

    Parameters
    ----------
    read : the files that were read
    images : paths of pictures relative to the folder, or null
    """
    known = {file.name for file in read if file.parent == root} | _firsts(images)
    passed = [entry.name for entry in sorted(root.iterdir()) if _strange(entry, known)]
    folders = [name for name in passed if (root / name).is_dir()]
    more = ""
    if images is None and any(_has_pictures(root / name) for name in folders):
        more = "; pictures need a column image with their paths"
    notes.warn(
        "unread_files",
        len(passed),
        f"in the folder, not read: {_named(root, passed)}; expected {_TABLES}{more}",
    )
    for name in _ARRAYS:
        passed = ready.unread(root / name, [f for f in read if f.parent == root / name])
        passed = [file for file in passed if not file.lower().startswith(_PAPERS)]
        notes.warn(
            "unread_files",
            len(passed),
            f"in {name}, not read: {_named(root / name, passed)}; expected {ready.EXPECTED}",
        )


def _strange(entry: Path, known: set[str]) -> bool:
    """Whether an entry is not known, not documentation of the data, and not made by mgrec."""
    name = entry.name.lower()
    if name.startswith((".", *_PAPERS)) or name in _OWN or entry.name in known:
        return False
    if not entry.is_dir():
        return entry.name not in _ARRAYS
    artifact = (entry / "manifest.json").exists() or name.endswith(".checkpoints")
    return entry.name not in _ARRAYS and not artifact and any(entry.iterdir())


def _has_pictures(folder: Path) -> bool:
    """Whether there are pictures among the first files of a folder."""
    first = islice(folder.iterdir(), 100)
    return any(file.suffix.lower() in _PICTURES for file in first)


def _firsts(images: pl.Series | None) -> set[str]:
    """Return the first components of the paths of pictures."""
    if images is None:
        return set()
    paths = images.drop_nulls()
    odd = paths.filter(paths.str.contains(r"(^|/)\.\.?/|//")).unique()
    plain = paths.str.extract(r"^([^/]+)").drop_nulls().unique()
    return {*plain, *(os.path.normpath(path).partition("/")[0] for path in odd)}


def _named(folder: Path, names: list[str]) -> str:
    shown = [f"{name}/" if (folder / name).is_dir() else name for name in names]
    listed = ", ".join(shown[:8])
    more = f" and {len(shown) - 8:,} more" if len(shown) > 8 else ""
    return short(listed, 300)[1:-1] + more
