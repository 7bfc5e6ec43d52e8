"""From a folder or frames to tables under our own column names, and arrays beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from mgrec.data import arrays, ready, tables
from mgrec.data.features import Codes, Embeddings
from mgrec.data.mapping import ColumnMap
from mgrec.data.notes import Notebook
from mgrec.data.tables import Table, short
from mgrec.errors import DataError

Pair = ready.Pair


@dataclass(frozen=True)
class Found:
    """What a folder or a caller offers, under our column names and not yet checked."""

    mapped: ColumnMap
    items: Table | None
    log: Table
    embeddings: Mapping[str, ready.Given]
    codes: Mapping[str, ready.Given]
    files: tuple[Path, ...] | None = None  # files that were read, for a folder


def folder(root: Path, columns: Mapping[str, str] | None) -> Found:
    """Read the files of a folder; see `Dataset.read`."""
    if not root.is_dir():
        found = "a file" if root.is_file() else "no such folder"
        raise DataError(f"{root}: {found}, expected a folder with interactions in it")
    mapped = ColumnMap.of(columns)
    items_file = tables.find(root, "items")
    items = None if items_file is None else tables.read(items_file, mapped.ids("items"))
    log_file = _log_file(root)
    log = tables.read(log_file, mapped.ids("interactions"))
    embeddings, codes = ready.files(root / "embeddings"), ready.files(root / "codes")
    item_id = mapped.names("items").get("item_id", "item_id")
    read = [items_file, log_file, *embeddings.values(), *codes.values()]
    return Found(
        mapped,
        *mapped.renamed(items, log),
        ready.in_folder(root / "embeddings", lambda _: "emb", item_id),
        ready.in_folder(root / "codes", lambda _: "codes", item_id),
        tuple(file for file in read if file is not None),
    )


def frames(
    items: Any,
    log: Any,
    columns: Mapping[str, str] | None,
    embeddings: Mapping[str, ready.Given] | None,
    codes: Mapping[str, ready.Given] | None,
) -> Found:
    """Take Polars or pandas frames; see `Dataset.from_frames`."""
    mapped = ColumnMap.of(columns)
    first = None if items is None else tables.of_frame(items, "items", mapped.ids("items"))
    second = tables.of_frame(log, "interactions", mapped.ids("interactions"))
    user = mapped.names("interactions").get("user_id", "user_id")
    if first is not None and user in first.frame.columns and user not in second.frame.columns:
        raise DataError(
            f"items: found a column '{user}', which interactions lack: found the two"
            " swapped, expected from_frames(items, interactions)"
        )
    return Found(
        mapped,
        *mapped.renamed(first, second),
        ready.by_modality(embeddings, "embeddings"),
        ready.by_modality(codes, "codes"),
    )


def ready_embeddings(found: Found, modality: str, known: pl.Series, notes: Notebook) -> Embeddings:
    """Align one modality's vectors to the catalogue, and note what came of it."""
    name = _name(found, "embeddings", modality)
    given, unknown = ready.embeddings(
        found.embeddings[modality], known, name, _order(found, found.embeddings[modality], name)
    )
    _note(name, "embeddings", unknown, int(given.present.sum()), notes)
    _about_rows(name, given, known, notes)
    return given


def ready_codes(found: Found, modality: str, known: pl.Series, notes: Notebook) -> Codes:
    """Align one modality's codes to the catalogue, and note what came of it."""
    name = _name(found, "codes", modality)
    given, unknown = ready.codes(
        found.codes[modality], known, name, _order(found, found.codes[modality], name)
    )
    _note(name, "codes", unknown, int(given.present.sum()), notes)
    return given


def _about_rows(name: str, given: Embeddings, known: pl.Series, notes: Notebook) -> None:
    """Warn of vectors without information: zeros, and one vector for many items."""
    zero, same = arrays.empty_rows(given), arrays.largest_group(given)
    items = int(given.present.sum())
    if len(zero):
        notes.warn(
            "zero_vectors",
            len(zero),
            f"{name}: vectors of zeros: {len(zero):,} of {items:,} (first: item"
            f" {short(known[int(zero[0])])}); leave out items without a vector",
        )
    if arrays.is_many(len(same), items):
        notes.warn(
            "same_vectors",
            len(same),
            f"{name}: items with the same vector: {len(same):,} of {items:,} (first: item"
            f" {short(known[int(same[0])])}); the model cannot tell them apart by it",
        )


def _name(found: Found, kind: str, modality: str) -> str:
    """Return the name of a modality's arrays for errors: the file, if there is one."""
    for file in found.files or ():
        if file.parent.name == kind and file.name.startswith(f"{modality}."):
            return f"{kind}/{file.name}"
    return f"{kind}/{modality}"


def _order(found: Found, given: ready.Given, name: str) -> str:
    """Return the name of the table whose order the rows of an array without ids have.

    Raises
    ------
    DataError
        If there is no items table.
    """
    if found.items is not None:
        return found.items.name
    if isinstance(given, np.ndarray):
        raise DataError(
            f"{name}: found rows without item ids, and no items file whose order they could have;"
            " expected item ids"
        )
    return "the items"


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
