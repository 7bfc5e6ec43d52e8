"""Vectors by the hash of their content, kept between runs."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load, save

from mgrec.progress import say

Key = bytes  # SHA-256 of a content, 32 bytes

# A chunk is closed at whichever comes first: what a killed run can lose.
_CHUNK_SECONDS = 10.0
_CHUNK_ROWS = 4096


def default_folder() -> Path:
    """Return ``$MGREC_CACHE``, or ``mgrec`` in the user's cache folder (XDG)."""
    if chosen := os.environ.get("MGREC_CACHE"):
        return Path(chosen)
    caches = os.environ.get("XDG_CACHE_HOME")
    return (Path(caches) if caches else Path.home() / ".cache") / "mgrec"


@dataclass(frozen=True)
class VectorCache:
    """A folder of chunk files, each written once and never changed.

    A chunk's name begins with the hash of its bytes and appears by a rename, so a killed run
    leaves no half chunk, runs at the same time do not meet, and damage is seen when it is read.
    Deleting the folder is always safe.
    """

    folder: Path

    @classmethod
    def of(cls, root: Path | None, modality: str, name: str, revision: str) -> VectorCache:
        """Return the cache of one encoder below ``root``, by default `default_folder`."""
        known_as = Path(name).name  # of a local model only the last folder: it may be moved
        mark = hashlib.sha256("\0".join((modality, known_as, revision)).encode()).hexdigest()
        slug = re.sub(r"[^A-Za-z0-9.-]+", "-", f"{modality}-{known_as}")[:80]
        return cls((root or default_folder()) / f"{slug}-{mark[:16]}")

    def get(self, wanted: Collection[Key]) -> dict[Key, NDArray[np.float32]]:
        """Return the vectors, float32 [dim], of those keys that are known."""
        missing = set(wanted)
        found: dict[Key, NDArray[np.float32]] = {}
        for file in sorted(self.folder.glob("*.safetensors")):
            if not missing:
                break
            chunk = _read(file)
            if chunk is None:
                continue
            keys, vectors = chunk
            rows = [row for row, key in enumerate(keys) if key in missing]
            # A copy of these rows alone, so that the rest of the chunk can go.
            taken = {keys[row]: vector for row, vector in zip(rows, vectors[rows], strict=True)}
            missing -= taken.keys()
            found |= taken
        return found

    def put(self, keys: Sequence[Key], vectors: NDArray[np.float32]) -> None:
        """Add a chunk: ``vectors`` is float32 [keys, dim].

        Raises
        ------
        OSError
            If the folder cannot be written.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        raw = np.frombuffer(b"".join(keys), np.uint8).reshape(len(keys), -1)
        data = save({"keys": raw, "vectors": np.ascontiguousarray(vectors, np.float32)})
        # The random part keeps two runs that write the same chunk out of each other's way.
        name = f"{_digest(data)}-{secrets.token_hex(4)}"
        draft = self.folder / f"{name}.tmp"
        try:
            draft.write_bytes(data)
            draft.replace(self.folder / f"{name}.safetensors")
        finally:
            draft.unlink(missing_ok=True)

    @contextmanager
    def writing(self) -> Iterator[CacheWriter]:
        """Give a writer whose last chunk is closed at the end, also if that is an error."""
        writer = CacheWriter(self)
        try:
            yield writer
        finally:
            writer.flush()


@dataclass
class CacheWriter:
    """Gathers vectors to chunks; a folder that cannot be written costs a warning, no more."""

    cache: VectorCache
    writable: bool = True
    begun: float = field(default_factory=time.monotonic)
    keys: list[Key] = field(default_factory=list)
    parts: list[NDArray[np.float32]] = field(default_factory=list)

    def add(self, keys: Sequence[Key], vectors: NDArray[np.float32]) -> None:
        """Add float32 [keys, dim]."""
        self.keys += keys
        self.parts.append(vectors)
        if len(self.keys) >= _CHUNK_ROWS or time.monotonic() - self.begun >= _CHUNK_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Close the chunk."""
        keys, parts = self.keys, self.parts
        self.keys, self.parts, self.begun = [], [], time.monotonic()
        if not keys or not self.writable:
            return
        try:
            self.cache.put(keys, np.concatenate(parts))
        except OSError as error:
            self.writable = False
            say(f"warning: cache {self.cache.folder} cannot be written ({error}); vectors not kept")


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]


def _read(file: Path) -> tuple[list[Key], NDArray[np.float32]] | None:
    """Return a chunk's keys and vectors [keys, dim]; None, said aloud, where it is no use."""
    try:
        data = file.read_bytes()
        if _digest(data) != file.name.split("-")[0]:
            say(
                f"warning: cache file {file} is corrupt; it is removed and its content encoded anew"
            )
            file.unlink(missing_ok=True)
            return None
    except FileNotFoundError:  # another run has just found it corrupt
        return None
    except OSError as error:
        say(f"warning: cache file {file} cannot be read ({error.strerror}); going on without it")
        return None
    chunk = load(data)
    return [row.tobytes() for row in chunk["keys"]], chunk["vectors"]
