"""Regular files, opened without blocking and unpacked up to a limit."""

from __future__ import annotations

import gzip
import io
import os
import stat
import zlib
from pathlib import Path
from typing import BinaryIO

from mgrec.errors import DataError, in_one_line
from mgrec.files import kind_of_mode

# A file may take half of the memory, since parsing takes about as much again. It may unpack to
# 200 times its size on disk: text reaches 10 to 50 times, only crafted files more.
SHARE, RATIO, ALWAYS = 2, 200, 64 << 20
_CHUNK = 1 << 20
_PACKED = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "Zstandard",
    **dict.fromkeys((b"\x78\x01", b"\x78\x9c", b"\x78\xda"), "zlib"),
}
_CGROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def opened(path: Path, name: str) -> BinaryIO:
    """Open a regular file for reading; a link is followed.

    Raises
    ------
    DataError
        If it is missing, a link to nothing, a folder, a pipe, a socket or a device.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise DataError(f"{name}: cannot be read: {_reason(path, error)}") from None
    mode = os.fstat(handle).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(handle, "rb")
    os.close(handle)
    raise DataError(f"{name}: found {kind_of_mode(mode)}, expected a regular file")


def _reason(path: Path, error: OSError | ValueError) -> str:
    if isinstance(error, FileNotFoundError) and path.is_symlink():
        return "it is a link to a file that does not exist"
    if isinstance(error, OSError) and path.is_socket():
        return "it is a socket"
    return in_one_line(error)


def contents(path: Path, name: str, limit: int | None = None) -> bytes:
    """Return a file's bytes, unpacked if its name ends in ``.gz``.

    Parameters
    ----------
    limit : maximum bytes, unpacked; by default see `limit_of`

    Raises
    ------
    DataError
        If it is not a regular file, cannot be read, is a broken gzip file, or exceeds the limit.
    """
    with opened(path, name) as file:
        size = os.fstat(file.fileno()).st_size
        packed = path.suffix == ".gz"
        most = limit_of(size if packed else None) if limit is None else limit
        if size > most and not packed:
            raise DataError(f"{name}: found {amount(size)}, {_expected(most)}")
        out = io.BytesIO()
        try:
            stream = gzip.GzipFile(fileobj=file) if packed else file
            while block := stream.read(_CHUNK):
                out.write(block)
                if out.tell() > most:
                    raise DataError(
                        f"{name}: unpacks from {amount(size)} to over {amount(most)},"
                        f" {_expected(most)}"
                    )
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise DataError(f"{name}: not a whole gzip file: {error}") from None
        except OSError as error:
            raise DataError(f"{name}: cannot be read: {in_one_line(error)}") from None
        except MemoryError:
            raise DataError(f"{name}: found more than fits in memory, {_expected(most)}") from None
    return out.getvalue()


def refuse_packed(data: bytes, name: str) -> None:
    """Refuse compressed bytes where text is expected: Polars would unpack them without a limit.

    Raises
    ------
    DataError
        If they begin like gzip, Zstandard or zlib.
    """
    kind = next((kind for start, kind in _PACKED.items() if data.startswith(start)), None)
    if kind is not None:
        end = ", or a name that ends in .gz" if kind == "gzip" else ""
        raise DataError(f"{name}: found {kind} data, expected plain text{end}")


def limit_of(packed: int | None = None) -> int:
    """Return the maximum bytes of a file in memory; `packed` is its compressed size."""
    share = memory() // SHARE
    return share if packed is None else min(share, max(ALWAYS, RATIO * packed))


def memory() -> int:
    """Return the bytes of memory of the machine, or of its container if that has less."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for file in map(Path, _CGROUPS):
        try:
            text = file.read_text().strip()
        except OSError:
            continue
        if text.isdecimal():
            found.append(int(text))
    return min(found)


def amount(size: float) -> str:
    """Return a number of bytes with its unit."""
    for unit in ("bytes", "KiB", "MiB"):
        if size < 1 << 10:
            return f"{size:,.0f} {unit}"
        size /= 1 << 10
    return f"{size:,.1f} GiB"


def _expected(most: int) -> str:
    return (
        f"expected at most {amount(most)} (half of the memory; a packed file at most"
        f" {RATIO} times its size)"
    )
