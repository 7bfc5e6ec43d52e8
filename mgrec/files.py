"""Paths: what is there, whether it can be written, and safe reading of untrusted files."""

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from polars.exceptions import PanicException

from mgrec.errors import ArtifactError, MgrecError, RequestError, StorageError, in_one_line

LARGEST = 1 << 30  # maximum bytes of a file that is read at once
_MOUNTS = Path("/proc/self/mountinfo")
_KINDS = {
    stat.S_IFREG: "a file",
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a link",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
}


def resolved(path: Path) -> Path:
    """Return a path without links and dots.

    Raises
    ------
    ArtifactError
        If links form a cycle, or the name is not valid.
    """
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise ArtifactError(f"{path}: not a path: {in_one_line(error)}") from None


def kind_of(path: Path) -> str:
    """Return what is at a path: "a file", "a folder", "a link", ...; empty for nothing."""
    try:
        mode = os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path}: could not be read: {in_one_line(error)}") from None
    return kind_of_mode(mode)


def kind_of_mode(mode: int) -> str:
    """Return the kind of file of a mode from `os.stat`, for a message."""
    return _KINDS.get(stat.S_IFMT(mode), "a device")


def check_file(path: Path) -> None:
    """Refuse a path where no file can be written, before any work.

    Raises
    ------
    RequestError
        If there is something other than a regular file.
    StorageError
        If the folder cannot be written.
    """
    place = resolved(path)
    if not place.name:
        raise RequestError(f"{path}: found a folder, expected a file to write to")
    if (found := kind_of(place)) not in ("", "a file"):
        raise RequestError(f"{path}: found {found}, expected a file to write to")
    if found and is_mounted(place):
        raise RequestError(f"{path}: found a mount point, which cannot be replaced")
    check_parent(path)


def check_parent(path: Path) -> None:
    """Refuse a path whose folder cannot be created or written.

    Raises
    ------
    StorageError
        If the folder cannot be created or written.
    """
    above = next(p for p in resolved(path).parents if kind_of(p))
    if (found := kind_of(above)) != "a folder":
        raise StorageError(
            f"{path}: could not be saved: found {found} at {above}, expected a folder"
        )
    if not os.access(above, os.W_OK | os.X_OK):
        raise StorageError(
            f"{path}: could not be saved: {above} is read-only, or this account may not write to it"
        )


def is_mounted(path: Path) -> bool:
    """Whether a file or folder is a mount point, which a rename cannot replace."""
    if path.is_mount():
        return True
    try:  # the only source for bind mounts within one file system
        lines = _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return False
    escaped = re.sub(r"[\s\\]", lambda found: f"\\{ord(found[0]):03o}", str(path))
    return any(line.split()[4:5] == [escaped] for line in lines)


def read_bytes(file: Path, most: int = LARGEST) -> bytes:
    """Read a regular file of an untrusted folder; no link, no pipe, no device.

    Raises
    ------
    FileNotFoundError
        If it does not exist.
    ArtifactError
        If it is not a regular file, is larger than ``most`` bytes, or cannot be read.
    """
    try:
        handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as opened:
            size = _size(file, os.fstat(handle), most)
            return opened.read(size)
    except FileNotFoundError:
        raise
    except OSError as error:
        check_regular(file)
        raise ArtifactError(f"{file}: could not be read: {in_one_line(error)}") from None


def check_regular(file: Path, most: int | None = None) -> int:
    """Return the size of a regular file of at most ``most`` bytes; refuse anything else.

    Raises
    ------
    FileNotFoundError
        If it does not exist.
    ArtifactError
        If it is not a regular file, or is too large.
    """
    try:
        return _size(file, os.lstat(file), most)
    except NotADirectoryError:
        raise FileNotFoundError(file) from None
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{file}: could not be read: {in_one_line(error)}") from None


def check_folder(folder: Path) -> bool:
    """Return whether a folder exists; refuse a link or a file in its place.

    Raises
    ------
    ArtifactError
        If something other than a folder is there.
    """
    found = kind_of(folder)
    if found not in ("", "a folder"):
        raise ArtifactError(f"{folder}: found {found}, expected a folder")
    return bool(found)


def _size(file: Path, found: os.stat_result, most: int | None) -> int:
    if not stat.S_ISREG(found.st_mode):
        raise ArtifactError(f"{file}: found {kind_of(file) or 'no file'}, expected a regular file")
    if most is not None and found.st_size > most:
        raise ArtifactError(f"{file}: found {found.st_size:,} bytes, expected at most {most:,}")
    return found.st_size


@contextmanager
def parsing(what: object) -> Iterator[None]:
    """Turn any exception that malformed contents cause in a library into one error.

    Raises
    ------
    ArtifactError
        For any exception that is not one of mgrec's.
    """
    try:
        yield
    except (MgrecError, FileNotFoundError):
        raise
    except (Exception, PanicException) as error:
        words = in_one_line(error)[:300]
        raise ArtifactError(f"{what}: corrupt: {type(error).__name__}: {words}") from None
