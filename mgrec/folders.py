"""Files and folders that are replaced whole: wherever a save is killed, the old or the new stands.

While ``RUN`` is being replaced there may lie beside it ``.RUN.<random>.tmp``, unfinished or not
wanted any more, and ``.RUN.old``, complete, which takes RUN's place if RUN is not there.
"""

import os
import re
import secrets
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Give a name to write to; when the block ends without an error, that file becomes ``path``.

    Raises
    ------
    OSError
        If the file cannot be written; the old one then stands.
    """
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path)
    draft = _draft(path)
    try:
        yield draft
        _sync(draft)
        draft.replace(path)
        _sync(path.parent)
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def new_folder(path: Path, owned: Callable[[Path], Collection[str]]) -> Iterator[Path]:
    """Give an empty folder to fill; when the block ends without an error, it becomes ``path``.

    One writer a path at a time: of two, one ends with an error, and what stands is whole.

    Parameters
    ----------
    path : Path
        What to replace: nothing, an empty folder or a filled one.
    owned : callable
        Names the entries of the old folder that go with it. All others are somebody's own and
        move into the new folder, unless it has an entry of that name.

    Raises
    ------
    OSError
        If the folder cannot be written; the old one then stands.
    """
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    _settle(path, owned)
    draft = _draft(path)
    draft.mkdir()
    try:
        yield draft
        for file in draft.iterdir():
            _sync(file)
        _sync(draft)
        # No portable call swaps two full folders. A kill between these two renames leaves the old
        # one complete under another name, where `standing` finds it.
        if not _vacant(path):
            path.rename(_old(path))
        elif path.exists():
            path.rmdir()
        draft.rename(path)
        _sync(path.parent)
    finally:
        _settle(path, owned)


def standing(path: Path) -> Path:
    """Return the folder to read for ``path``: itself, or the old one if a save was killed."""
    path = path.resolve()
    return _old(path) if _vacant(path) and _old(path).is_dir() else path


def read_standing(path: Path, reading: Callable[[Path], T]) -> T:
    """Return what ``reading`` makes of the standing folder, once it was not replaced meanwhile."""
    while True:
        before = _identity(path)
        try:
            return reading(standing(path))
        except Exception:
            if _identity(path) == before:
                raise


def _identity(path: Path) -> tuple[Path, int, int]:
    folder = standing(path)
    try:
        found = folder.stat()
    except FileNotFoundError:
        return folder, 0, 0
    return folder, found.st_ino, found.st_mtime_ns


def _settle(path: Path, owned: Callable[[Path], Collection[str]]) -> None:
    """Bring to an end whatever a killed or failed save left beside ``path``."""
    old = _old(path)
    if old.is_dir() and _vacant(path):
        if path.exists():
            path.rmdir()
        old.rename(path)
    elif old.is_dir():
        mine = owned(old)
        for entry in sorted(old.iterdir()):
            if entry.name not in mine and not (path / entry.name).exists():
                entry.rename(path / entry.name)
        # By a rename first, so that what is called old is never half deleted.
        old.rename(_draft(path))
    _sweep(path)


def _sweep(path: Path) -> None:
    """Delete the drafts of killed saves; those of ``path.x`` have one dot more and stay."""
    name = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{8}}\.tmp")
    for entry in sorted(path.parent.iterdir()):
        if name.fullmatch(entry.name):
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def _vacant(path: Path) -> bool:
    """Whether there is nothing at ``path``, or an empty folder."""
    try:
        return not any(path.iterdir())
    except FileNotFoundError:
        return True
    except NotADirectoryError:
        return False


def _draft(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")


def _old(path: Path) -> Path:
    return path.with_name(f".{path.name}.old")


def _sync(path: Path) -> None:
    """Wait until a file's bytes, or a folder's names, are on the disk."""
    if os.name != "posix":  # elsewhere a folder cannot be opened; a kill is survived all the same
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
