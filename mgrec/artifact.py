"""The folder on disk in which a trained recommender lives: a manifest, tensors, tables, JSON.

::

    RUN/
      manifest.json        format version, hashes, encoders, seeds, libraries, data, recipe, facts
      recipe.yaml          the recipe again, for people
      <name>.safetensors   a group of tensors or of arrays
      <name>.parquet       a table
      <name>.json          a document
      live/                changes of the catalogue (`mgrec.journal`)
      uploads/             pictures of items that were added over HTTP
      previous/            the artifact that this one replaced, with its changes and report

Nothing is pickled, so reading an artifact never runs code from it. It is written to a temporary
folder and renamed: a killed save leaves the old artifact complete. Other files in the folder belong
to the user: they are not read, and saving keeps them. Only regular files of the folder are read:
links, pipes and devices are refused.
"""

import hashlib
import json
import platform
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import save_file as save_tensors
from torch import Tensor

from mgrec.errors import ArtifactError, RequestError, in_one_line
from mgrec.files import (
    check_folder,
    check_parent,
    check_regular,
    is_mounted,
    kind_of,
    parsing,
    read_bytes,
    resolved,
)
from mgrec.folders import linked, new_folder, read_standing, settle, standing
from mgrec.journal import read_journal, succeed
from mgrec.lock import FOLDER, LOCK, locked
from mgrec.manifest import (
    FORMAT,
    KIND,
    NAME,
    FileRecord,
    Manifest,
    field_of,
    files_of,
    is_artifact,
    manifest_in,
    plain,
    read_manifest,
    sealed,
)
from mgrec.recipe import Recipe

__all__ = [
    "Contents",
    "Manifest",
    "check_place",
    "has_previous",
    "is_artifact",
    "read",
    "read_manifest",
    "restore",
    "settled",
    "write",
]

PREVIOUS, UPLOADS, REPORT = "previous", "uploads", "report.html"
_RECIPE = "recipe.yaml"
_LIBRARIES = ("mgrec", "torch", "numpy", "polars", "safetensors")
# A table with more rows per byte of its file is refused as corrupt.
_ROWS_PER_BYTE = 256


@dataclass(frozen=True, eq=False)
class Contents:
    """All that a trained recommender is made of; what is written is what is read.

    Attributes
    ----------
    recipe : Recipe
        The recipe of the run, every field.
    fingerprint : str
        Of the data that it was trained on.
    tensors, arrays : mapping
        Groups of named torch tensors and of named NumPy arrays, each group one safetensors file.
        No two groups, tensors or arrays, have one name. Tensors are read onto the CPU.
    tables : mapping
        Polars frames by name, each one Parquet file.
    documents : mapping
        Anything that JSON can hold, by name, each one JSON file.
    encoders : mapping
        What encoded each modality: ``{"text": {"name": ..., "revision": ..., "dim": ...}}``.
    seeds : mapping
        Seeds besides the recipe's own.
    facts : mapping
        Whatever else is worth knowing at a glance, such as metrics; JSON, kept in the manifest.
    """

    recipe: Recipe
    fingerprint: str = ""
    tensors: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)
    arrays: Mapping[str, Mapping[str, NDArray[Any]]] = field(default_factory=dict)
    tables: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    documents: Mapping[str, Any] = field(default_factory=dict)
    encoders: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    seeds: Mapping[str, int] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)


def write(path: Path, contents: Contents) -> Manifest:
    """Save an artifact as the folder ``path``, in place of the one that may be there.

    The same contents give the same bytes in every file but the manifest, which tells the time.

    Raises
    ------
    ArtifactError
        If something that is not an artifact is there, or the folder cannot be written.

    An existing artifact becomes the `previous` one of the new artifact: see `restore`.
    """
    check_place(path)
    if is_artifact(path):
        settled(path)
    try:
        with ExitStack() as stack, new_folder(path, _owned, PREVIOUS) as folder:
            for name in _write_files(folder, contents):
                if not plain(name):
                    raise ValueError(f"artifact: '{name}' is no name for a file")
            manifest = _describe(folder, contents)
            (folder / NAME).write_text(sealed(manifest), encoding="utf-8")
            _replaces(stack, path, folder)
    except (SafetensorError, pl.exceptions.PolarsError) as error:
        raise ArtifactError(
            f"{path}: could not be saved: {in_one_line(error)}; the previous version is unchanged"
        ) from error
    return manifest


def settled(path: Path) -> None:
    """Complete an exchange of artifacts that was killed; do nothing if there was none.

    Raises
    ------
    ArtifactError
        If the folder cannot be written.
    """
    with locked(path):
        settle(path, _owned, PREVIOUS)


def has_previous(path: Path) -> bool:
    """Whether `restore` has an artifact to bring back."""
    return bool(files_of(standing(path) / PREVIOUS))


def restore(path: Path) -> None:
    """Exchange an artifact and its previous one, each with its changes and report.

    Raises
    ------
    RequestError
        If there is no previous one, or the catalogue has changes, which must be undone first.
    ArtifactError
        If the previous one cannot be read, or the folder cannot be written.
    """
    if not is_artifact(path):
        raise ArtifactError(f"{path}: not an mgrec artifact, or its {NAME} is corrupt")
    settled(path)
    before = standing(path) / PREVIOUS
    if not files_of(before):
        raise RequestError(f"{path}: nothing to roll back: it is as it was fitted")
    read(before)
    with ExitStack() as stack, new_folder(path, _owned, PREVIOUS) as folder:
        linked(before, folder, but=(LOCK, PREVIOUS))
        _replaces(stack, path, folder)
        if read_journal(path).entries:
            raise RequestError(f"{path}: was changed in the meantime: roll back the changes first")


def _replaces(stack: ExitStack, path: Path, folder: Path) -> None:
    """Prepare a complete new folder to replace an artifact, under the artifact's lock."""
    if not is_artifact(path):
        return
    stack.enter_context(locked(path))
    # The new one may contain the same uploaded items; pictures are named by their hash.
    uploads = standing(path) / UPLOADS
    if kind_of(uploads) == "a folder":
        linked(uploads, folder / UPLOADS)
    succeed(path, folder)


def read(path: Path, *, verify: bool = True) -> Contents:
    """Read a whole artifact.

    Parameters
    ----------
    verify : bool
        Whether to compare every file's SHA-256 with the manifest's; sizes are always compared.

    Raises
    ------
    ArtifactError
        If it is missing, no artifact, corrupt, or of a newer format than this mgrec reads.
    """
    return read_standing(path, lambda folder: _read_contents(folder, path, verify))


def _read_contents(folder: Path, path: Path, verify: bool) -> Contents:
    """Read what the manifest lists, of the folder that stands for ``path``."""
    manifest = manifest_in(folder, path)
    for name in (FOLDER, UPLOADS, PREVIOUS):
        check_folder(folder / name)
    for name, record in manifest.files.items():
        _check_file(folder / name, record, verify)
    try:
        recipe = Recipe.model_validate(manifest.recipe)
    except ValidationError as error:
        made = manifest.libraries.get("mgrec", "unknown")
        raise ArtifactError(
            f"{path}: recipe field '{field_of(error)}' does not fit this mgrec;"
            f" it was saved by mgrec {made}: fit it again"
        ) from None
    tensors: dict[str, dict[str, Tensor]] = {}
    arrays: dict[str, dict[str, NDArray[Any]]] = {}
    tables: dict[str, pl.DataFrame] = {}
    documents: dict[str, Any] = {}
    for file in (folder / name for name in sorted(manifest.files)):
        with parsing(file):
            if file.suffix == ".safetensors":
                kind, group = _load_group(file)
                (arrays if kind == "np" else tensors)[file.stem] = group
            elif file.suffix == ".parquet":
                tables[file.stem] = _load_table(file)
            elif file.suffix == ".json":
                documents[file.stem] = json.loads(read_bytes(file))
    return Contents(
        recipe=recipe,
        fingerprint=manifest.fingerprint,
        tensors=tensors,
        arrays=arrays,
        tables=tables,
        documents=documents,
        encoders=manifest.encoders,
        seeds={name: seed for name, seed in manifest.seeds.items() if name != "recipe"},
        facts=manifest.facts,
    )


def check_place(path: Path) -> None:
    """Refuse a place where no artifact can be saved, before any training.

    Raises
    ------
    ArtifactError
        Unless there is nothing, an empty folder, or an artifact; or if its name is not UTF-8.
    """
    folder = standing(path)
    if not folder.name:
        raise ArtifactError(f"{path}: found the root folder, expected a folder in it")
    if any("\ud800" <= letter <= "\udfff" for letter in str(folder)):
        raise ArtifactError(f"{path}: found a name that is not UTF-8, expected one that is")
    found = kind_of(folder)
    if found == "a folder" and any(folder.iterdir()) and not files_of(folder):
        found = "a folder of other things"
    if found not in ("", "a folder"):
        raise ArtifactError(
            f"{path}: found {found},"
            " expected a new or empty folder, or an mgrec artifact to replace"
        )
    if found and is_mounted(resolved(path)):
        raise ArtifactError(
            f"{path}: found a mount point, which cannot be replaced; expected a folder in it"
        )
    check_parent(path)


def _write_files(folder: Path, contents: Contents) -> Iterator[str]:
    """Write everything but the manifest, naming each file before it is written."""
    both = set(contents.tensors) & set(contents.arrays)
    if both or "manifest" in contents.documents:
        raise ValueError(f"artifact: names taken: {sorted(both) or ['manifest']}")
    yield _RECIPE
    (folder / _RECIPE).write_text(contents.recipe.to_yaml(), encoding="utf-8")
    # One metadata key only: safetensors writes several in no fixed order. Tensors it sorts.
    for name, tensors in contents.tensors.items():
        yield (file := f"{name}.safetensors")
        # Cloned because tied weights share storage, which the format refuses.
        plain = {key: tensor.detach().cpu().contiguous().clone() for key, tensor in tensors.items()}
        save_tensors(plain, folder / file, metadata={"format": "pt"})
    for name, arrays in contents.arrays.items():
        yield (file := f"{name}.safetensors")
        ordered = {key: np.asarray(array, order="C") for key, array in arrays.items()}
        save_arrays(ordered, folder / file, metadata={"format": "np"})
    for name, table in contents.tables.items():
        yield (file := f"{name}.parquet")
        table.write_parquet(folder / file)
    for name, document in contents.documents.items():
        yield (file := f"{name}.json")
        text = json.dumps(document, indent=1, ensure_ascii=False)
        # Paths may contain surrogates, which UTF-8 lacks; the JSON reader restores them.
        (folder / file).write_text(text + "\n", encoding="utf-8", errors="surrogatepass")


def _describe(folder: Path, contents: Contents) -> Manifest:
    files = {
        file.name: FileRecord(sha256=_sha256(file), bytes=file.stat().st_size)
        for file in sorted(folder.iterdir())
    }
    return Manifest(
        kind=KIND,
        format=FORMAT,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        files=files,
        recipe=contents.recipe.model_dump(mode="json"),
        fingerprint=contents.fingerprint,
        encoders={modality: dict(encoder) for modality, encoder in contents.encoders.items()},
        seeds={"recipe": contents.recipe.seed, **contents.seeds},
        libraries={"python": platform.python_version(), **_versions()},
        facts=dict(contents.facts),
    )


def _versions() -> dict[str, str]:
    found = {}
    for library in _LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:  # run from a source folder that was never installed
            found[library] = "not installed"
    return found


def _check_file(file: Path, record: FileRecord, verify: bool) -> None:
    try:
        size = check_regular(file)
        if size != record.bytes:
            raise ArtifactError(f"{file}: corrupt: found {size} bytes, expected {record.bytes}")
        if verify and (found := _sha256(file)) != record.sha256:
            raise ArtifactError(
                f"{file}: corrupt: found SHA-256 {found[:12]}, expected {record.sha256[:12]}"
            )
    except FileNotFoundError:
        raise ArtifactError(f"{file}: missing, though the manifest lists it") from None
    except OSError as error:
        raise ArtifactError(f"{file}: could not be read: {in_one_line(error)}") from None


def _load_group(file: Path) -> tuple[str, dict[str, Any]]:
    """Return ("pt", tensors) or ("np", arrays), as the group was written."""
    with safe_open(file, framework="pt") as opened:
        kind = (opened.metadata() or {}).get("format", "pt")
    with safe_open(file, framework=kind) as opened:
        return kind, {key: opened.get_tensor(key) for key in sorted(opened.keys())}


def _load_table(file: Path) -> pl.DataFrame:
    """Read a table; refuse a small file whose header declares more rows than fit in memory."""
    rows = int(pl.scan_parquet(file, glob=False).select(pl.len()).collect().item())
    most = max(1 << 20, _ROWS_PER_BYTE * file.stat().st_size)
    if rows > most:
        raise ArtifactError(f"{file}: corrupt: found {rows:,} rows, expected at most {most:,}")
    return pl.read_parquet(file, glob=False)


def _owned(folder: Path) -> set[str]:
    """Return the entries that belong to an artifact; empty if there is no artifact."""
    files = files_of(folder)
    return files and files | {FOLDER, UPLOADS, REPORT}


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
