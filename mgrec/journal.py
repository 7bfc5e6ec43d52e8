"""The versions of an artifact's catalogue on disk: a list of changes beside what was fitted.

::

    RUN/live/
      journal.json              which changes, in order, make the present version; replaced whole
      000012-9f3c01aa.safetensors   one change: rows, vectors and codes of new items, or ids removed
      lock                      held by whoever writes; the kernel frees it when a writer dies

A change is written and flushed under a name of its own before the journal names it, so that a kill
leaves the old version or the new. Nothing that stays as it is is copied: weights, the catalogue as
fitted and earlier changes. A journal belongs to one artifact: after another `fit` into the same
folder it is void.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from mgrec.artifact import read_manifest
from mgrec.data.columns import plain_frame
from mgrec.data.features import Codes, Embeddings
from mgrec.errors import ArtifactError, in_one_line
from mgrec.folders import new_file, standing
from mgrec.newcomers import Newcomers

FOLDER, JOURNAL, LOCK = "live", "journal.json", "lock"
PATIENCE = 60.0  # seconds to wait for another writer

Step = Newcomers | pl.Series  # items that join, or ids that are taken off


@dataclass(frozen=True)
class Entry:
    """One change: its file, what the file holds, and how many items it added and removed."""

    file: str
    sha256: str
    added: int
    removed: int


@dataclass(frozen=True)
class Journal:
    """What the present version is made of.

    Attributes
    ----------
    base : SHA-256 of the manifest of the artifact that the changes belong to
    version : counts up with every change and every return, so that no two catalogues share one
    entries : the changes, oldest first
    """

    base: str
    version: int
    entries: tuple[Entry, ...] = ()

    def with_entry(self, entry: Entry) -> Journal:
        return Journal(self.base, self.version + 1, (*self.entries, entry))

    def without_last(self) -> Journal:
        return Journal(self.base, self.version + 1, self.entries[:-1])


def base_of(path: Path) -> str:
    """Return what tells one artifact in a folder from the next.

    Raises
    ------
    ArtifactError
        If there is none.
    """
    try:
        return hashlib.sha256((standing(path) / "manifest.json").read_bytes()).hexdigest()
    except OSError as error:
        read_manifest(path)  # says what is wrong with the place
        raise ArtifactError(f"{path}: could not be read: {error.strerror}") from None


def read_journal(path: Path) -> Journal:
    """Return the present version of an artifact; 0, without changes, if it never changed.

    Raises
    ------
    ArtifactError
        If there is no artifact, or its journal is corrupt.
    """
    base, file = base_of(path), standing(path) / FOLDER / JOURNAL
    try:
        values = json.loads(file.read_bytes())
        sealed = values.pop("checksum")
        found = Journal(
            values["base"], values["version"], tuple(Entry(**entry) for entry in values["entries"])
        )
    except FileNotFoundError:
        return Journal(base, 0)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ArtifactError(f"{file}: corrupt: not a journal of changes") from None
    except OSError as error:
        raise ArtifactError(f"{file}: could not be read: {error.strerror}") from None
    if sealed != _checksum(values):
        raise ArtifactError(f"{file}: corrupt: its checksum is not that of its contents")
    # Of an artifact that was replaced nothing is left but the count.
    return found if found.base == base else Journal(base, found.version + 1)


def read_step(path: Path, entry: Entry) -> Step:
    """Read one change.

    Raises
    ------
    ArtifactError
        If its file is missing or corrupt.
    """
    file = standing(path) / FOLDER / entry.file
    try:
        with file.open("rb") as opened:
            found = hashlib.file_digest(opened, "sha256").hexdigest()
        if found != entry.sha256:
            raise ArtifactError(
                f"{file}: corrupt: found SHA-256 {found[:12]}, expected {entry.sha256[:12]}"
            )
        return _unpacked(file)
    except FileNotFoundError:
        raise ArtifactError(f"{file}: missing, though the journal lists it") from None
    except (OSError, SafetensorError, pl.exceptions.PolarsError) as error:
        raise ArtifactError(f"{file}: corrupt: {in_one_line(error)}") from None


def append(path: Path, journal: Journal, step: Step) -> Journal:
    """Make a change durable, and return the journal that has it; call it under `locked`.

    Raises
    ------
    ArtifactError
        If it cannot be written; the version before then stands.
    """
    folder = standing(path) / FOLDER
    name = f"{journal.version + 1:06d}-{secrets.token_hex(4)}.safetensors"
    adds = isinstance(step, Newcomers)
    try:
        with new_file(folder / name) as draft:
            _pack(step, draft)
            sha256 = hashlib.sha256(draft.read_bytes()).hexdigest()
    except OSError as error:
        raise _unwritable(path, error) from error
    rows = len(step.items) if isinstance(step, Newcomers) else len(step)
    entry = Entry(name, sha256, rows if adds else 0, 0 if adds else rows)
    return commit(path, journal.with_entry(entry))


def commit(path: Path, journal: Journal) -> Journal:
    """Make a journal the present one, and delete what no version needs; under `locked`.

    Raises
    ------
    ArtifactError
        If it cannot be written; the version before then stands.
    """
    folder = standing(path) / FOLDER
    values = json.loads(json.dumps(asdict(journal)))
    values["checksum"] = _checksum(values)
    try:
        with new_file(folder / JOURNAL) as draft:
            draft.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise _unwritable(path, error) from error
    needed = {JOURNAL, LOCK, *(entry.file for entry in journal.entries)}
    for file in folder.iterdir():
        if file.name not in needed:
            file.unlink(missing_ok=True)
    return journal


@contextmanager
def locked(path: Path, patience: float = PATIENCE) -> Iterator[None]:
    """Be the only writer of an artifact's changes, of all processes.

    Raises
    ------
    ArtifactError
        If another one writes for longer than `patience` seconds, or the folder cannot be written.
    """
    folder = standing(path) / FOLDER
    try:
        folder.mkdir(exist_ok=True)
        handle = (folder / LOCK).open("ab")
    except OSError as error:
        raise _unwritable(path, error) from error
    with handle:
        end = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise ArtifactError(
                        f"{path}: another process has been writing for {patience:.0f} seconds;"
                        " nothing was changed, try again"
                    ) from None
                time.sleep(0.02)
        yield


def _pack(step: Step, file: Path) -> None:
    arrays: dict[str, Any] = {}
    notes: dict[str, str] = {}
    if isinstance(step, Newcomers):
        arrays["items"] = _bytes(step.items)
        for name, vectors in step.vectors.items():
            arrays[f"vectors.{name}"] = np.ascontiguousarray(vectors.vectors)
            arrays[f"has-vectors.{name}"] = vectors.present
        for name, codes in step.codes.items():
            arrays[f"codes.{name}"] = np.ascontiguousarray(codes.codes)
            arrays[f"has-codes.{name}"] = codes.present
            notes[f"sizes.{name}"] = json.dumps(codes.sizes)
        notes["root"] = json.dumps(None if step.root is None else str(step.root.resolve()))
        notes["problems"] = json.dumps(step.problems)
    else:
        arrays["removed"] = _bytes(pl.DataFrame({"item_id": step}))
    save_file(arrays, file, metadata={"format": "np", **notes})


def _unpacked(file: Path) -> Step:
    with safe_open(file, framework="np") as opened:
        notes: dict[str, str] = opened.metadata()
        arrays = {name: opened.get_tensor(name) for name in sorted(opened.keys())}
    if "removed" in arrays:
        return _frame(arrays["removed"])["item_id"]
    root = json.loads(notes["root"])
    return Newcomers(
        plain_frame(_frame(arrays["items"])),
        None if root is None else Path(root),
        {
            name.partition(".")[2]: Embeddings(array, arrays[f"has-{name}"])
            for name, array in arrays.items()
            if name.startswith("vectors.")
        },
        {
            (block := name.partition(".")[2]): Codes(
                array, arrays[f"has-{name}"], tuple(json.loads(notes[f"sizes.{block}"]))
            )
            for name, array in arrays.items()
            if name.startswith("codes.")
        },
        tuple(json.loads(notes["problems"])),
    )


def _bytes(frame: pl.DataFrame) -> Any:
    out = io.BytesIO()
    frame.write_parquet(out)
    return np.frombuffer(out.getvalue(), np.uint8)


def _frame(array: Any) -> pl.DataFrame:
    return pl.read_parquet(io.BytesIO(array.tobytes()))


def _checksum(values: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _unwritable(path: Path, error: OSError) -> ArtifactError:
    return ArtifactError(
        f"{path}: the change could not be saved: {error.strerror or error};"
        " the version before it stands"
    )
