"""The manifest of an artifact: its contents and metadata, with a checksum."""

import hashlib
import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from mgrec.errors import ArtifactError, in_one_line
from mgrec.files import kind_of, read_bytes
from mgrec.folders import read_standing, standing

FORMAT = 1
NAME, KIND = "manifest.json", "mgrec artifact"


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


def read_manifest(path: Path) -> Manifest:
    """Read the manifest of an artifact, and no other file.

    Raises
    ------
    ArtifactError
        If it is missing, no artifact, has a corrupt manifest, or is of a newer format.
    """
    return read_standing(path, lambda folder: manifest_in(folder, path))


def manifest_in(folder: Path, path: Path) -> Manifest:
    """Read the manifest in the folder that currently represents ``path``."""
    file = folder / NAME
    try:
        values = json.loads(_bytes(folder, path))
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{file}: corrupt: not JSON: {in_one_line(error)}") from None
    if not isinstance(values, dict) or values.get("kind") != KIND:
        raise ArtifactError(f"{file}: not of an mgrec artifact: expected the kind '{KIND}'")
    found = values.get("format")
    if isinstance(found, int) and found > FORMAT:
        raise ArtifactError(
            f"{path}: found format {found}, expected at most {FORMAT}:"
            " it was saved by a newer mgrec, which this one cannot read"
        )
    if values.pop("checksum", None) != checksum(values):
        raise ArtifactError(f"{file}: corrupt: its checksum is not that of its contents")
    try:
        manifest = Manifest.model_validate(values)
    except ValidationError as error:
        message = error.errors()[0]["msg"]
        raise ArtifactError(f"{file}: corrupt: {field_of(error)}: {message}") from None
    for name in manifest.files:
        if not plain(name):
            raise ArtifactError(f"{file}: corrupt: '{name}' is no name for a file of the folder")
    return manifest


def base_of(path: Path) -> str:
    """Return the identity of an artifact: the SHA-256 of its manifest.

    Raises
    ------
    ArtifactError
        If there is none.
    """
    return read_standing(path, lambda folder: hashlib.sha256(_bytes(folder, path)).hexdigest())


def is_artifact(path: Path) -> bool:
    """Whether an artifact of any format is at a path."""
    return bool(files_of(standing(path)))


def files_of(folder: Path) -> set[str]:
    """Return the files in a manifest of any format, and the manifest; empty without one."""
    try:
        values = json.loads(read_bytes(folder / NAME))
    except (ArtifactError, OSError, ValueError, RecursionError):
        return set()
    if not isinstance(values, dict) or values.get("kind") != KIND:
        return set()
    files = values.get("files")
    return {NAME, *(files if isinstance(files, dict) else ())}


def _bytes(folder: Path, path: Path) -> bytes:
    """Return the bytes of the manifest in the folder that represents a path."""
    if (found := kind_of(folder)) != "a folder":
        found = found or "nothing"
        raise ArtifactError(f"{path}: found {found}, expected a folder that mgrec saved")
    try:
        return read_bytes(folder / NAME)
    except FileNotFoundError:
        raise ArtifactError(f"{path}: not an mgrec artifact: it has no {NAME}") from None


def sealed(manifest: Manifest) -> str:
    """Return the manifest as JSON with its checksum."""
    values = json.loads(json.dumps(manifest.model_dump()))
    values["checksum"] = checksum(values)
    return json.dumps(values, indent=1, ensure_ascii=False) + "\n"


def checksum(values: dict[str, Any]) -> str:
    """Return the SHA-256 of a JSON document in a canonical form."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def plain(name: str) -> bool:
    """Whether a name stays within its folder."""
    return Path(name).name == name and not name.startswith(".") and "\\" not in name


def field_of(error: ValidationError) -> str:
    """Return the name of the first wrong field."""
    return ".".join(str(part) for part in error.errors()[0]["loc"])
