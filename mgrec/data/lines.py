"""Lines of a file too large for memory, plain or gzipped, one at a time and beside a bar."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from mgrec.data.csvs import BOM
from mgrec.errors import DataError
from mgrec.progress import bar

MAX_LINE = 1 << 20  # bytes; in the originals a line has some kilobytes
_GZIP = b"\x1f\x8b"
_KIB = 1 << 10


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
        If the file cannot be opened or is no whole gzip file.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as raw, bar(label, max(1, size // _KIB), "KiB") as progress:
            zipped = raw.peek(2)[:2] == _GZIP
            stream: IO[bytes] = gzip.GzipFile(fileobj=raw) if zipped else raw  # type: ignore[assignment]
            for line in _read(stream):
                progress.advance(raw.tell() // _KIB - progress.done)
                yield line
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path.name}: not a whole gzip file: {error}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None


def _read(stream: IO[bytes]) -> Generator[Line, None, None]:
    number = 0
    while data := stream.readline(MAX_LINE + 1):
        number += 1
        if number == 1:
            data = data.removeprefix(BOM)
        if len(data) > MAX_LINE:
            yield Line(number, data[:80].decode(errors="replace"), f"over {MAX_LINE // _KIB:,} KiB")
            while data and not data.endswith(b"\n"):
                data = stream.readline(MAX_LINE)
        elif not data.isspace():
            yield _decoded(number, data)


def _decoded(number: int, data: bytes) -> Line:
    try:
        return Line(number, data.decode())
    except UnicodeDecodeError as error:
        found = data[error.start : error.start + 1].hex()
        return Line(number, data[:80].decode(errors="replace"), f"byte 0x{found} is not UTF-8")
