"""From a folder or frames to tables under our own column names, and arrays beside them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from numpy.typing import ArrayLike

from mgrec.data import arrays, npz, tables
from mgrec.data.features import Codes, Embeddings
from mgrec.data.mapping import ColumnMap
from mgrec.data.notes import Notebook
from mgrec.data.tables import Table
from mgrec.errors import DataError

_TABLES = {".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet", ".txt", ".xlsx", ".feather"}
Pair = tuple[ArrayLike, ArrayLike]  # item ids, and a row of values for each


@dataclass(frozen=True)
class Found:
    """What a folder or a caller offers, under our column names and not yet checked."""

    mapped: ColumnMap
    items: Table | None
    log: Table
    embeddings: Mapping[str, Embeddings | Pair]
    codes: Mapping[str, Codes | Pair]
    ending: str = ""  # of the arrays' names in errors: .npz if they are files
    unread: tuple[str, ...] = ()  # files that may be meant as the items, where there are none


def folder(root: Path, columns: Mapping[str, str] | None) -> Found:
    """Read the files of a folder; see `Dataset.read`."""
    if not root.is_dir():
        found = "a file" if root.is_file() else "no such folder"
        raise DataError(f"{root}: {found}, expected a folder with interactions in it")
    mapped = ColumnMap.of(columns)
    items_file = tables.find(root, "items")
    items = None if items_file is None else tables.read(items_file, mapped.ids("items"))
    log = tables.read(_log_file(root), mapped.ids("interactions"))
    return Found(
        mapped,
        *mapped.renamed(items, log),
        {_modality(f): npz.load(f, "emb", _below(f)) for f in _npz(root / "embeddings")},
        {_modality(f): npz.load(f, "codes", _below(f)) for f in _npz(root / "codes")},
        ".npz",
        () if items_file is not None else _unread(root),
    )


def frames(
    items: Any,
    log: Any,
    columns: Mapping[str, str] | None,
    embeddings: Mapping[str, Embeddings | Pair],
    codes: Mapping[str, Codes | Pair],
) -> Found:
    """Take Polars or pandas frames; see `Dataset.from_frames`."""
    mapped = ColumnMap.of(columns)
    first = None if items is None else tables.of_frame(items, "items", mapped.ids("items"))
    second = tables.of_frame(log, "interactions", mapped.ids("interactions"))
    return Found(mapped, *mapped.renamed(first, second), embeddings, codes)


def ready_embeddings(found: Found, modality: str, known: pl.Series, notes: Notebook) -> Embeddings:
    """Align one modality's vectors to the catalogue, and note what came of it."""
    given, unknown = found.embeddings[modality], 0
    name = f"embeddings/{modality}{found.ending}"
    if isinstance(given, Embeddings):
        arrays.checked(given, known, name)
    else:
        given, unknown = arrays.embeddings(*given, known, name)
    _note(name, "embeddings", unknown, int(given.present.sum()), notes)
    return given


def ready_codes(found: Found, modality: str, known: pl.Series, notes: Notebook) -> Codes:
    """Align one modality's codes to the catalogue, and note what came of it."""
    given, unknown = found.codes[modality], 0
    name = f"codes/{modality}{found.ending}"
    if isinstance(given, Codes):
        arrays.checked(given, known, name)
    else:
        given, unknown = arrays.codes(*given, known, name)
    _note(name, "codes", unknown, int(given.present.sum()), notes)
    return given


def _note(name: str, kind: str, unknown: int, present: int, notes: Notebook) -> None:
    """Say what one modality's ready-made arrays came to."""
    notes.say(f"{name}: ready-made {kind} of {present:,} items")
    notes.warn(
        f"unknown_{kind}",
        unknown,
        f"{name}: rows of items that the catalogue does not have, ignored: {unknown:,}",
    )


def _log_file(root: Path) -> Path:
    """Find the log, or say what is there instead."""
    table, lines = tables.find(root, "interactions"), tables.find(root, "sequences", ("txt",))
    if table and lines:
        raise DataError(f"{root}: found {table.name} and {lines.name}, expected only one of them")
    if file := table or lines:
        return file
    names = sorted(file.name for file in root.iterdir())
    found = tables.short(", ".join(names), 100) if names else "an empty folder"
    raise DataError(
        f"{root}: found {found}, expected interactions.parquet, .csv or .jsonl, or sequences.txt"
        " (each also as .gz)"
    )


def _unread(root: Path) -> tuple[str, ...]:
    """Return the names of a folder's tables that are not its log, such as items.tsv."""
    log = _log_file(root).name
    names = sorted(path.name for path in root.iterdir() if path.name != log)
    return tuple(name for name in names if _TABLES & set(Path(name.lower()).suffixes))


def _npz(folder: Path) -> list[Path]:
    if os.path.lexists(folder) and not folder.is_dir():
        found = "a link to nothing" if folder.is_symlink() else "a file"
        raise DataError(f"{folder}: found {found}, expected a folder of .npz files")
    return sorted([*folder.glob("*.npz"), *folder.glob("*.npz.gz")])


def _modality(file: Path) -> str:
    return file.name.removesuffix(".gz").removesuffix(".npz")


def _below(file: Path) -> str:
    return f"{file.parent.name}/{file.name}"
