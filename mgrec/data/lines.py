"""Lines of a file too large for memory, plain or gzipped, one at a time and beside a bar."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from mgrec.data.csvs import BOM
from mgrec.data.files import RATIO, amount, opened
from mgrec.errors import DataError
from mgrec.progress import bar

MAX_LINE = 1 << 20  # bytes; in the originals a line has some kilobytes
_GZIP = b"\x1f\x8b"
_KIB = 1 << 10
_MAX_BLANK = 1_000_000  # blank lines; reading them takes seconds
_ALWAYS = 16 << 20  # bytes that any gzip file may unpack to


@dataclass(frozen=True)
class Line:
    """A line that is not blank.

    Attributes
    ----------
    number : int
        From 1, as an editor counts.
    text : str
        What stands there; its beginning if there is a problem.
    problem : str
        Why it cannot be read; empty where it can.
    """

    number: int
    text: str
    problem: str = ""


def lines(path: Path, label: str) -> Generator[Line, None, None]:
    """Yield every line that is not blank; whether the file is gzipped, its first bytes tell.

    Raises
    ------
    DataError
        If the file cannot be opened, is not a regular file, is a broken gzip file, or unpacks to
        more than text can.
    """
    try:
        with opened(path, path.name) as raw:
            size = os.fstat(raw.fileno()).st_size
            zipped = raw.read(2) == _GZIP
            raw.seek(0)
            stream: IO[bytes] = gzip.GzipFile(fileobj=raw) if zipped else raw  # type: ignore[assignment]
            most = max(_ALWAYS, RATIO * size)
            with bar(label, max(1, size // _KIB), "KiB") as progress:
                for line in _read(stream, most, path.name):
                    progress.advance(raw.tell() // _KIB - progress.done)
                    yield line
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path.name}: not a whole gzip file: {error}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None


def _read(stream: IO[bytes], most: int, name: str) -> Generator[Line, None, None]:
    number = blank = 0
    while data := stream.readline(MAX_LINE + 1):
        number += 1
        if number == 1:
            data = data.removeprefix(BOM)
        if stream.tell() > most:
            raise DataError(
                f"{name}, line {number}: unpacks to over {amount(most)}, expected at most"
                f" {RATIO} times its size"
            )
        if len(data) > MAX_LINE:
            yield Line(number, data[:80].decode(errors="replace"), f"over {MAX_LINE // _KIB:,} KiB")
            while data and not data.endswith(b"\n") and stream.tell() <= most:
                data = stream.readline(MAX_LINE)
        elif not data.isspace():
            yield _decoded(number, data)
        elif (blank := blank + 1) > _MAX_BLANK:
            raise DataError(f"{name}, line {number}: found over {_MAX_BLANK:,} blank lines")


def _decoded(number: int, data: bytes) -> Line:
    try:
        return Line(number, data.decode())
    except UnicodeDecodeError as error:
        found = data[error.start : error.start + 1].hex()
        return Line(number, data[:80].decode(errors="replace"), f"byte 0x{found} is not UTF-8")
