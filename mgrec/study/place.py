"""The folder of a comparison or a cold start: its own, and one process at a time in it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mgrec.errors import RequestError
from mgrec.folders import storing

COMPARISON, COLD = "a comparison", "a cold start"
_MARKS = {
    "manifest.json": "an artifact of 'mgrec fit'",
    "grid.json": COMPARISON,
    "run/manifest.json": COLD,
    "items.*": "a data folder",
    "interactions.*": "a data folder",
    "sequences.txt*": "a data folder",
}
_LOCK = ".lock"


@contextmanager
def own_folder(out: Path, kind: str) -> Iterator[None]:
    """Make sure that nothing else is in a folder, and that nobody else works in it meanwhile.

    Parameters
    ----------
    kind : `COMPARISON` or `COLD`, one of which may go on here

    Raises
    ------
    RequestError
        If the folder has something else of mgrec's, whose files would be overwritten, or another
        process is at work in it.
    """
    if out.exists() and not out.is_dir():
        raise RequestError(f"{out}: found a file, expected a folder, or nothing yet")
    for mark, what in _MARKS.items():
        if what != kind and any(out.glob(mark)):
            raise RequestError(
                f"{out}: found {what}, expected a new folder, or {kind} to go on with"
            )
    new = not out.exists()
    with storing(out):
        out.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
        opened = os.open(out / _LOCK, flags, 0o666)
    with os.fdopen(opened, "r+b") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RequestError(f"{out}: another process is at work in it, expected one") from None
        try:
            yield
        finally:
            (out / _LOCK).unlink(missing_ok=True)
            if new:
                with suppress(OSError):  # it stays if there is anything in it
                    out.rmdir()
