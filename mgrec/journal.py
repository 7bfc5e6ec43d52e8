"""The versions of an artifact's catalogue on disk: a list of changes beside what was fitted.

::

    RUN/live/
      journal.json              which changes, in order, make the present version; replaced whole
      000012-9f3c01aa.safetensors   one change: rows, vectors and codes of new items, or ids removed
      lock                      held by the writer; see `mgrec.lock`

A change is written and flushed under a name of its own before the journal names it, so that a kill
leaves the old version or the new. Nothing that stays as it is is copied: weights, the catalogue as
fitted and earlier changes. A journal belongs to one artifact and moves with it when
another replaces it; the versions of the other one continue its numbers.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import secrets
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from safetensors import safe_open
from safetensors.numpy import save_file

from mgrec.data.columns import plain_frame
from mgrec.data.features import Codes, Embeddings
from mgrec.errors import ArtifactError
from mgrec.files import check_folder, check_regular, kind_of, parsing, read_bytes
from mgrec.folders import new_file, standing
from mgrec.lock import FOLDER, LOCK, PATIENCE, locked
from mgrec.manifest import NAME, base_of, checksum
from mgrec.newcomers import Newcomers

__all__ = ["FOLDER", "LOCK", "PATIENCE", "base_of", "locked"]

JOURNAL = "journal.json"
_CHANGE = re.compile(r"[0-9]{6,18}-[0-9a-f]{8}\.safetensors")
_DRAFT = re.compile(r"\..+\.[0-9a-f]{8}\.tmp")

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


def read_journal(path: Path) -> Journal:
    """Return the present version of an artifact; 0, without changes, if it never changed.

    Raises
    ------
    ArtifactError
        If there is no artifact, or its journal is corrupt, or missing though there are changes.
    """
    base, folder = base_of(path), standing(path) / FOLDER
    found = _journal_in(folder)
    if found is None:
        return Journal(base, 0)
    # Of an artifact that was replaced nothing is left but the count.
    return found if found.base == base else Journal(base, found.version + 1)


def _journal_in(folder: Path) -> Journal | None:
    file = folder / JOURNAL
    if not check_folder(folder):
        return None
    try:
        values = json.loads(read_bytes(file))
        sealed = values.pop("checksum")
        found = Journal(
            values["base"], values["version"], tuple(Entry(**entry) for entry in values["entries"])
        )
        sound = _is_sound(found)
    except FileNotFoundError:
        if left := sorted(e.name for e in folder.iterdir() if _CHANGE.fullmatch(e.name)):
            raise ArtifactError(
                f"{file}: missing, though {len(left)} changes exist, such as {left[0]}:"
                " restore it, or delete them to return to the fitted catalogue"
            ) from None
        return None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ArtifactError(f"{file}: corrupt: not a journal of changes") from None
    if sealed != checksum(values):
        raise ArtifactError(f"{file}: corrupt: its checksum is not that of its contents")
    if not sound:
        raise ArtifactError(f"{file}: corrupt: not a journal of changes")
    return found


def _is_sound(journal: Journal) -> bool:
    """Whether every field has its type, and every file name is valid."""

    def count(value: object) -> bool:
        return type(value) is int and 0 <= value < 10**15

    return (
        isinstance(journal.base, str)
        and count(journal.version)
        and all(
            isinstance(entry.file, str)
            and _CHANGE.fullmatch(entry.file) is not None
            and isinstance(entry.sha256, str)
            and count(entry.added)
            and count(entry.removed)
            for entry in journal.entries
        )
    )


def read_step(path: Path, entry: Entry) -> Step:
    """Read one change.

    Raises
    ------
    ArtifactError
        If its file is missing or corrupt.
    """
    file = standing(path) / FOLDER / entry.file
    try:
        check_regular(file)
        with parsing(file), file.open("rb") as opened:
            found = hashlib.file_digest(opened, "sha256").hexdigest()
    except FileNotFoundError:
        raise ArtifactError(f"{file}: missing, though the journal lists it") from None
    if found != entry.sha256:
        raise ArtifactError(
            f"{file}: corrupt: found SHA-256 {found[:12]}, expected {entry.sha256[:12]}"
        )
    with parsing(file):
        return _unpacked(file)


def stored(step: Step) -> Step:
    """Return a change as it will be read from disk, so that this form is the one checked."""
    if not isinstance(step, Newcomers):
        return _frame(_bytes(pl.DataFrame({"item_id": step})))["item_id"]
    return replace(
        step,
        items=_frame(_bytes(step.items)),
        root=None if step.root is None else step.root.resolve(),
    )


def append(path: Path, journal: Journal, step: Step) -> Journal:
    """Make a change durable, and return the journal that has it; call it under `locked`.

    Raises
    ------
    StorageError
        If it cannot be written; the previous version then stays.
    """
    folder = standing(path) / FOLDER
    if not kind_of(folder / JOURNAL):  # else a missing journal looks like a new one
        commit(path, journal)
    name = f"{journal.version + 1:06d}-{secrets.token_hex(4)}.safetensors"
    adds = isinstance(step, Newcomers)
    with new_file(folder / name) as draft:
        _pack(step, draft)
        sha256 = hashlib.sha256(draft.read_bytes()).hexdigest()
    rows = len(step.items) if isinstance(step, Newcomers) else len(step)
    entry = Entry(name, sha256, rows if adds else 0, 0 if adds else rows)
    return commit(path, journal.with_entry(entry))


def commit(path: Path, journal: Journal) -> Journal:
    """Make a journal the present one, and delete what no version needs; under `locked`.

    Raises
    ------
    StorageError
        If it cannot be written; the previous version then stays.
    """
    folder = standing(path) / FOLDER
    _write(folder, journal)
    needed = {entry.file for entry in journal.entries}
    with suppress(OSError):  # the change is done: files that cannot be deleted stay
        for file in folder.iterdir():
            ours = _CHANGE.fullmatch(file.name) or _DRAFT.fullmatch(file.name)
            if ours and file.name not in needed and kind_of(file) == "a file":
                file.unlink(missing_ok=True)
    return journal


def succeed(path: Path, folder: Path) -> None:
    """Continue the version numbers of an artifact in the new one that replaces it.

    The new artifact, complete in ``folder``, keeps its own changes. Call it under `locked`.
    """
    base = hashlib.sha256((folder / NAME).read_bytes()).hexdigest()
    own = _journal_in(folder / FOLDER) or Journal(base, 0)
    try:
        version = read_journal(path).version
    except ArtifactError:  # a corrupt journal: take the last version from the names of files
        names = [f.name for f in (standing(path) / FOLDER).glob("*-*.safetensors")]
        version = max((int(n.split("-")[0]) for n in names if _CHANGE.fullmatch(n)), default=0)
    _write(folder / FOLDER, Journal(base, max(version, own.version) + 1, own.entries))


def _write(folder: Path, journal: Journal) -> None:
    values = json.loads(json.dumps(asdict(journal)))
    values["checksum"] = checksum(values)
    with new_file(folder / JOURNAL) as draft:
        draft.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


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
