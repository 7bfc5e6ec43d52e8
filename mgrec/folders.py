"""Files and folders that are replaced whole: wherever a save is killed, the old or the new stands.

While ``RUN`` is being replaced, its folder may also contain ``.RUN.<random>.tmp``, which is
unfinished or obsolete, and ``.RUN.old``, which is complete and takes RUN's place if RUN is missing.

A file replaces only a regular file or nothing, a folder only a folder or nothing. A new file or
folder gets the permissions of the umask, whichever library wrote it.
"""

import fcntl
import os
import re
import secrets
import shutil
import stat
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from polars.exceptions import PolarsError
from safetensors import SafetensorError

from mgrec.errors import StorageError, in_one_line
from mgrec.files import check_file, kind_of, resolved

T = TypeVar("T")


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Give a name to write to; when the block ends without an error, that file becomes ``path``.

    Raises
    ------
    RequestError
        If something other than a regular file is there.
    StorageError
        If the file cannot be written; the old one then stands.
    """
    check_file(path)
    path = resolved(path)
    with storing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path)
        draft = _draft(path)
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            _claim(handle)
            mode = stat.S_IMODE(os.fstat(handle).st_mode)
            yield draft
            draft.chmod(mode)
            _sync(draft)
            draft.replace(path)
            _sync(path.parent)
        finally:
            with suppress(OSError):
                draft.unlink(missing_ok=True)
            os.close(handle)


@contextmanager
def new_folder(
    path: Path, owned: Callable[[Path], Collection[str]], previous: str
) -> Iterator[Path]:
    """Give an empty folder to fill; when the block ends without an error, it becomes ``path``.

    Of two concurrent writers the later one wins, unless both are at the last step: concurrent
    callers take a lock within the block.

    Parameters
    ----------
    path : Path
        What to replace: nothing, an empty folder or a filled one.
    owned : callable
        Names the entries of the old folder that go with it. All others are somebody's own and
        move into the new folder, unless it has an entry of that name.
    previous : str
        Name under which the new folder keeps the old one; the old one's own such entry is deleted.

    Raises
    ------
    StorageError
        If the folder cannot be written; the old one then stands.
    """
    path = resolved(path)
    with storing(path), scratch(path) as draft:
        yield draft
        mode = draft.stat().st_mode & 0o666
        for file in draft.rglob("*"):
            if not file.is_dir() and file.stat().st_nlink == 1:  # not shared with the old one
                file.chmod(mode)
            _sync(file)
        _sync(draft)
        settle(path, owned, previous)
        _exchange(draft, path)
        settle(path, owned, previous)


def settle(path: Path, owned: Callable[[Path], Collection[str]], previous: str) -> None:
    """Complete or remove what a killed save left next to ``path``; see `new_folder`.

    Raises
    ------
    StorageError
        If the folder cannot be written.
    """
    path = resolved(path)
    with storing(path):
        if kind_of(path.parent) == "a folder":
            _settle(path, owned, previous)


@contextmanager
def scratch(path: Path) -> Iterator[Path]:
    """Give an empty temporary folder next to a path; it is deleted at the end.

    Raises
    ------
    StorageError
        If it cannot be created.
    """
    path = resolved(path)
    with storing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = _draft(path)
        folder.mkdir()
        handle = os.open(folder, os.O_RDONLY)
    try:
        _claim(handle)
        yield folder
    finally:
        with suppress(OSError):
            delete(folder)
        os.close(handle)


@contextmanager
def storing(path: Path) -> Iterator[None]:
    """Turn errors of writing, by the system or a library, into one error.

    Raises
    ------
    StorageError
        For any failure to write.
    """
    try:
        yield
    except (OSError, SafetensorError, PolarsError) as error:
        # The libraries' errors contain the number of the system's error.
        number = re.search(r"\(os error (\d+)\)", str(error))
        if number is None and not isinstance(error, OSError):
            raise
        words = os.strerror(int(number[1])) if number else in_one_line(error)
        raise StorageError(
            f"{path}: could not be saved: {words}; the previous version is unchanged"
        ) from error


def standing(path: Path) -> Path:
    """Return the folder to read for ``path``: itself, or the old one if a save was killed."""
    path = resolved(path)
    if not path.name:  # the root, which has nothing beside it
        return path
    return _old(path) if kind_of(_old(path)) == "a folder" and _vacant(path) else path


def read_standing(path: Path, reading: Callable[[Path], T]) -> T:
    """Return what ``reading`` makes of the standing folder, once it was not replaced meanwhile."""
    while True:
        before = _identity(path)
        try:
            return reading(standing(path))
        except Exception:
            if _identity(path) == before:
                raise


def linked(source: Path, target: Path, but: Collection[str] = ()) -> None:
    """Copy the files of a folder into another, as hard links where possible.

    Symbolic links, pipes and devices are left out, and files whose name the target has already.
    Linked files must be replaced, never changed.
    """
    target.mkdir(exist_ok=True)
    for entry in sorted(source.iterdir()):
        kind = kind_of(entry)
        if entry.name in but:
            continue
        if kind == "a folder":
            linked(entry, target / entry.name, but)
        elif kind == "a file" and not kind_of(target / entry.name):
            try:
                os.link(entry, target / entry.name)
            except OSError:  # no hard links here, or a file of another account
                shutil.copyfile(entry, target / entry.name)


def delete(entry: Path) -> None:
    """Delete a file, a link or a folder; the target of a link is not touched."""
    if kind_of(entry) == "a folder":
        shutil.rmtree(entry)
    else:
        entry.unlink(missing_ok=True)


def _exchange(draft: Path, path: Path) -> None:
    """Replace a folder with another, complete one.

    No portable call swaps two folders. A kill between the two renames leaves the old one complete
    under another name, where `standing` looks for it.
    """
    if not _vacant(path):
        path.rename(_old(path))
    elif path.exists():
        path.rmdir()
    try:
        draft.rename(path)
    except OSError:
        if _old(path).is_dir():
            _old(path).rename(path)
        raise
    _sync(path.parent)


def _identity(path: Path) -> tuple[Path, int, int]:
    folder = standing(path)
    try:
        found = folder.stat()
    except OSError:
        return folder, 0, 0
    return folder, found.st_ino, found.st_mtime_ns


def _settle(path: Path, owned: Callable[[Path], Collection[str]], previous: str) -> None:
    old = _old(path)
    if kind_of(old) != "a folder":
        pass
    elif _vacant(path):
        if path.exists():
            path.rmdir()
        old.rename(path)
    else:
        if kind_of(old / previous):
            (old / previous).rename(_draft(path))
        mine = owned(old)
        for entry in sorted(old.iterdir()):
            if entry.name not in mine and not kind_of(path / entry.name):
                entry.rename(path / entry.name)
        # By one rename, so that the old folder is never half deleted.
        keeps = mine and not kind_of(path / previous)
        old.rename(path / previous if keeps else _draft(path))
    _sweep(path)


def _sweep(path: Path) -> None:
    """Delete the drafts of killed saves; those of ``path.x`` have one dot more and stay."""
    name = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{8}}\.tmp")
    for entry in sorted(path.parent.iterdir()):
        if name.fullmatch(entry.name) and not _claimed(entry):
            delete(entry)


def _claim(handle: int) -> None:
    """Lock a draft as in use; the kernel releases the lock when the process ends."""
    with suppress(OSError):  # a file system without locks
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _claimed(entry: Path) -> bool:
    """Whether a running process is writing a draft."""
    if kind_of(entry) not in ("a file", "a folder"):
        return False
    try:
        handle = os.open(entry, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(handle)
    return False


def _vacant(path: Path) -> bool:
    """Whether there is nothing at ``path``, or an empty folder."""
    try:
        return not any(path.iterdir())
    except FileNotFoundError:
        return True
    except OSError:
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
