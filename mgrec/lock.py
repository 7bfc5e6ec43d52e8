"""The lock of an artifact: one process at a time changes its catalogue or replaces it."""

from __future__ import annotations

import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mgrec.errors import ArtifactError
from mgrec.files import check_folder, kind_of
from mgrec.folders import standing, storing

FOLDER, LOCK = "live", "lock"
PATIENCE = 60.0  # seconds to wait for another writer


@contextmanager
def locked(path: Path, patience: float = PATIENCE) -> Iterator[None]:
    """Hold the lock of an artifact, exclusive among threads and processes.

    The lock file is in the artifact's folder and moves with it. A caller that waits while the
    artifact is replaced then waits for the lock of the new one.

    Raises
    ------
    ArtifactError
        If another one writes for longer than `patience` seconds, or there is no artifact.
    StorageError
        If the folder cannot be written.
    """
    end = time.monotonic() + patience
    while True:
        if (handle := _opened(path)) is not None:
            try:
                if _taken(handle) and _present(path, handle):
                    yield
                    return
            finally:
                os.close(handle)
        if time.monotonic() > end:
            raise ArtifactError(
                f"{path}: another process has been writing for {patience:.0f} seconds;"
                " nothing was changed, try again"
            )
        time.sleep(0.02)


def _opened(path: Path) -> int | None:
    """Open or create the lock file; None while the artifact is being replaced."""
    there = standing(path)
    folder = there / FOLDER
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with storing(path):
        try:
            if not check_folder(folder):
                folder.mkdir(exist_ok=True)
            handle = os.open(folder / LOCK, flags, 0o666)
        except FileNotFoundError:
            if not kind_of(standing(path)):
                raise ArtifactError(f"{path}: found nothing, expected an artifact") from None
            return None
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise ArtifactError(f"{folder / LOCK}: expected a regular file")
    return handle


def _taken(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _present(path: Path, handle: int) -> bool:
    """Whether the lock still belongs to the artifact at the path."""
    mine = os.fstat(handle)
    try:
        there = os.lstat(standing(path) / FOLDER / LOCK)
    except OSError:
        return False
    return (mine.st_dev, mine.st_ino) == (there.st_dev, there.st_ino)
