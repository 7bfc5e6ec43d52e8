"""The folder on disk in which a trained recommender lives: a manifest, tensors, tables, JSON.

::

    RUN/
      manifest.json        format version, hashes, encoders, seeds, libraries, data, recipe, facts
      recipe.yaml          the recipe again, for people
      <name>.safetensors   a group of tensors or of arrays
      <name>.parquet       a table
      <name>.json          a document

Nothing is pickled, so that reading an artifact never runs what somebody put into it. It is written
to a folder beside and renamed: a killed save leaves the old artifact whole. Files that the manifest
does not list are somebody's own: reading passes them by and saving keeps them.
"""

import hashlib
import json
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import save_file as save_tensors
from torch import Tensor

from mgrec.errors import ArtifactError
from mgrec.folders import new_folder, read_standing, standing
from mgrec.recipe import Recipe

FORMAT = 1

_MANIFEST, _RECIPE, _KIND = "manifest.json", "recipe.yaml", "mgrec artifact"
_FAILURES = (OSError, SafetensorError, pl.exceptions.PolarsError)
_LIBRARIES = ("mgrec", "torch", "numpy", "polars", "safetensors")


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


class FileRecord(BaseModel):
    """What one file of an artifact held when it was written."""

    model_config = ConfigDict(frozen=True)

    sha256: str
    bytes: int


class Manifest(BaseModel):
    """What an artifact says of itself."""

    model_config = ConfigDict(frozen=True)

    kind: str
    format: int
    created: str  # ISO 8601, UTC
    files: dict[str, FileRecord]
    recipe: dict[str, Any]
    fingerprint: str
    encoders: dict[str, dict[str, Any]]
    seeds: dict[str, int]
    libraries: dict[str, str]
    facts: dict[str, Any]


def write(path: Path, contents: Contents) -> Manifest:
    """Save an artifact as the folder ``path``, in place of the one that may be there.

    The same contents give the same bytes in every file but the manifest, which tells the time.

    Raises
    ------
    ArtifactError
        If something that is not an artifact is there, or the folder cannot be written.
    """
    check_place(path)
    try:
        with new_folder(path, owned=_owned) as folder:
            for name in _write_files(folder, contents):
                if not _plain(name):
                    raise ValueError(f"artifact: '{name}' is no name for a file")
            manifest = _describe(folder, contents)
            (folder / _MANIFEST).write_text(_sealed(manifest), encoding="utf-8")
    except _FAILURES as error:
        raise ArtifactError(
            f"{path}: could not be saved: {_words(error)}; what was there before still is"
        ) from error
    return manifest


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


def read_manifest(path: Path) -> Manifest:
    """Read what an artifact says of itself, and none of its other files.

    Raises
    ------
    ArtifactError
        If it is missing, no artifact, has a corrupt manifest, or is of a newer format.
    """
    return read_standing(path, lambda folder: _read_manifest(folder, path))


def _read_manifest(folder: Path, path: Path) -> Manifest:
    """Read the manifest of the folder that stands for ``path``."""
    if not folder.is_dir():
        what = "a file" if folder.exists() else "nothing there"
        raise ArtifactError(f"{path}: found {what}, expected a folder that mgrec saved")
    file = folder / _MANIFEST
    try:
        values = json.loads(file.read_bytes())
    except FileNotFoundError:
        raise ArtifactError(f"{path}: not an mgrec artifact: it has no {_MANIFEST}") from None
    except OSError as error:
        raise ArtifactError(f"{file}: could not be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{file}: corrupt: not JSON: {_words(error)}") from None
    if not isinstance(values, dict) or values.get("kind") != _KIND:
        raise ArtifactError(f"{file}: not of an mgrec artifact: expected the kind '{_KIND}'")
    found = values.get("format")
    if isinstance(found, int) and found > FORMAT:
        raise ArtifactError(
            f"{path}: found format {found}, expected at most {FORMAT}:"
            " it was saved by a newer mgrec, which this one cannot read"
        )
    if values.pop("checksum", None) != _checksum(values):
        raise ArtifactError(f"{file}: corrupt: its checksum is not that of its contents")
    try:
        manifest = Manifest.model_validate(values)
    except ValidationError as error:
        message = error.errors()[0]["msg"]
        raise ArtifactError(f"{file}: corrupt: {_place(error)}: {message}") from None
    for name in manifest.files:
        if not _plain(name):
            raise ArtifactError(f"{file}: corrupt: '{name}' is no name for a file of the folder")
    return manifest


def _read_contents(folder: Path, path: Path, verify: bool) -> Contents:
    """Read what the manifest lists, of the folder that stands for ``path``."""
    manifest = _read_manifest(folder, path)
    for name, record in manifest.files.items():
        _check_file(folder / name, record, verify)
    try:
        recipe = Recipe.model_validate(manifest.recipe)
    except ValidationError as error:
        made = manifest.libraries.get("mgrec", "unknown")
        raise ArtifactError(
            f"{path}: recipe field '{_place(error)}' does not fit this mgrec;"
            f" it was saved by mgrec {made}: fit it anew"
        ) from None
    tensors: dict[str, dict[str, Tensor]] = {}
    arrays: dict[str, dict[str, NDArray[Any]]] = {}
    tables: dict[str, pl.DataFrame] = {}
    documents: dict[str, Any] = {}
    for file in (folder / name for name in sorted(manifest.files)):
        try:
            if file.suffix == ".safetensors":
                kind, group = _load_group(file)
                (arrays if kind == "np" else tensors)[file.stem] = group
            elif file.suffix == ".parquet":
                tables[file.stem] = pl.read_parquet(file)
            elif file.suffix == ".json":
                documents[file.stem] = json.loads(file.read_bytes())
        except (*_FAILURES, ValueError) as error:
            raise ArtifactError(f"{file}: corrupt: {_words(error)}") from None
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
        Unless there is nothing, an empty folder, or an artifact.
    """
    folder = standing(path)
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir()) and not _owned(folder)):
        what = "a folder of other things" if folder.is_dir() else "a file"
        raise ArtifactError(
            f"{path}: found {what}, expected a new or empty folder, or an mgrec artifact to replace"
        )


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
        # Paths may hold what has no UTF-8; JSON's reader takes it back.
        (folder / file).write_text(text + "\n", encoding="utf-8", errors="surrogatepass")


def _describe(folder: Path, contents: Contents) -> Manifest:
    files = {
        file.name: FileRecord(sha256=_sha256(file), bytes=file.stat().st_size)
        for file in sorted(folder.iterdir())
    }
    return Manifest(
        kind=_KIND,
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


def _sealed(manifest: Manifest) -> str:
    """Return the manifest as JSON, with a checksum over all of it."""
    values = json.loads(json.dumps(manifest.model_dump()))
    values["checksum"] = _checksum(values)
    return json.dumps(values, indent=1, ensure_ascii=False) + "\n"


def _checksum(values: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _check_file(file: Path, record: FileRecord, verify: bool) -> None:
    try:
        size = file.stat().st_size
        if size != record.bytes:
            raise ArtifactError(f"{file}: corrupt: found {size} bytes, expected {record.bytes}")
        if verify and (found := _sha256(file)) != record.sha256:
            raise ArtifactError(
                f"{file}: corrupt: found SHA-256 {found[:12]}, expected {record.sha256[:12]}"
            )
    except FileNotFoundError:
        raise ArtifactError(f"{file}: missing, though the manifest lists it") from None
    except OSError as error:
        raise ArtifactError(f"{file}: could not be read: {_words(error)}") from None


def _load_group(file: Path) -> tuple[str, dict[str, Any]]:
    """Return ("pt", tensors) or ("np", arrays), as the group was written."""
    with safe_open(file, framework="pt") as opened:
        kind = (opened.metadata() or {}).get("format", "pt")
    with safe_open(file, framework=kind) as opened:
        return kind, {key: opened.get_tensor(key) for key in sorted(opened.keys())}


def _owned(folder: Path) -> set[str]:
    """Return the files of an artifact of whatever format; nothing if the folder is not one."""
    try:
        values = json.loads((folder / _MANIFEST).read_bytes())
    except (OSError, ValueError):
        return set()
    if not isinstance(values, dict) or values.get("kind") != _KIND:
        return set()
    files = values.get("files")
    return {_MANIFEST, *(files if isinstance(files, dict) else ())}


def _plain(name: str) -> bool:
    """Whether a name stays within its folder."""
    return Path(name).name == name and not name.startswith(".") and "\\" not in name


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _place(error: ValidationError) -> str:
    return ".".join(str(part) for part in error.errors()[0]["loc"])


def _words(error: Exception) -> str:
    """Return an error's message on one line."""
    return " ".join(str(getattr(error, "strerror", None) or error).split())
