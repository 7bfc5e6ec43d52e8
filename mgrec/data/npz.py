"""``.npz`` files of ready-made arrays: a large one is mapped, not read."""

from __future__ import annotations

import io
import math
import struct
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from mgrec.data import blocks
from mgrec.data.files import amount, contents, limit_of, opened
from mgrec.data.tables import short
from mgrec.errors import DataError, in_one_line

# What numpy and zipfile raise for files that are cut short, changed, encrypted or something else.
BROKEN = (
    ValueError,
    EOFError,
    OSError,
    MemoryError,
    RuntimeError,  # encrypted, or an unknown compression
    zipfile.BadZipFile,
    zlib.error,
)

# Of a member's local header in a zip file: its own bytes, and where the lengths of the name and
# of the extra field, which follow it, stand in them.
_LOCAL, _LENGTHS = 30, 26


def load(
    path: Path, field: str, name: str, limit: int | None = None, item_id: str = "item_id"
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return ``item_id`` and ``field`` of an ``.npz`` file; nothing in it is unpickled.

    A field of more than 512 MiB that is not compressed (`numpy.savez`) stays where it is: what
    comes back is a read-only map of the file, which must not change while it is in use. Its
    checksum is verified all the same.

    Parameters
    ----------
    limit : maximum bytes of an array in memory; by default see `mgrec.data.files.limit_of`
    item_id : another name that the ids may have

    Raises
    ------
    DataError
        If the file is broken, lacks an array, contains pickled objects, or is too large.
    """
    with _opened(path, name) as file:
        try:
            arrays = np.load(file, allow_pickle=False)
            found = list(getattr(arrays, "files", []))  # a bare .npy has none
            ids = item_id if item_id in found else "item_id"
            if {ids, field} <= set(found):
                mapped = _mapped(path, file, arrays.zip, f"{field}.npy")
                in_memory = [ids, field] if mapped is None else [ids]
                _check_sizes(arrays.zip, in_memory, name, limit)
                return arrays[ids], arrays[field] if mapped is None else mapped
        except BROKEN as error:
            reason = in_one_line(error)
            if "allow_pickle" in reason:
                reason = "pickled objects inside, expected plain numbers or text"
            raise DataError(f"{name}: not a whole .npz file: {reason}") from None
    there = short(", ".join(found)) if found else "one array"
    raise DataError(f"{name}: found {there}, expected item_id and {field}")


def _check_sizes(archive: zipfile.ZipFile, arrays: list[str], name: str, limit: int | None) -> None:
    """Refuse an array that exceeds the memory or its own bytes, before it is read.

    NumPy allocates the size in the header, and zip unpacks the size in the archive's directory.
    """
    for array in arrays:
        info = archive.NameToInfo.get(f"{array}.npy")
        if info is None:
            continue
        most = limit_of(None if info.compress_type == zipfile.ZIP_STORED else info.compress_size)
        most = most if limit is None else limit
        if info.file_size > most:
            raise DataError(
                f"{name}: {array} takes {amount(info.file_size)} in memory and"
                f" {amount(info.compress_size)} in the file, expected at most {amount(most)}"
            )
        with archive.open(info) as content:
            header = _header(content)
        if header is not None and math.prod(header[0]) * header[2].itemsize > info.file_size:
            raise ValueError(f"{array} is shorter than its header says")


def _header(content: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]] | None:
    """Return an array's shape, whether it is in column order, and its type.

    None for objects, and for version 3, which has field names in Unicode.
    """
    version = npy.read_magic(content)
    if version > (2, 0):
        return None
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, by_columns, dtype = read(content)
    return None if dtype.hasobject else (shape, by_columns, dtype)


def _opened(path: Path, name: str) -> IO[bytes]:
    """Open a file, or its contents if they have to be unpacked."""
    if path.suffix == ".gz":
        return io.BytesIO(contents(path, name))
    return opened(path, name)


def _mapped(
    path: Path, file: IO[bytes], archive: zipfile.ZipFile, member: str
) -> NDArray[Any] | None:
    """Map a member that lies in the file as it is in memory; None if it does not, or is small."""
    info = archive.NameToInfo.get(member)
    if info is None or info.file_size <= blocks.IN_MEMORY or isinstance(file, io.BytesIO):
        return None
    if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:  # bit 0: encrypted
        return None
    with archive.open(info) as content:
        header = _header(content)
        if header is None:
            return None
        shape, by_columns, dtype = header
        start = content.tell()
        size = math.prod(shape) * dtype.itemsize
        if by_columns or start + size > info.file_size:
            return None  # for numpy to read, or to refuse
        while content.read(1 << 20):  # at its end, the checksum is compared
            pass
    file.seek(info.header_offset + _LENGTHS)
    start += info.header_offset + _LOCAL + sum(struct.unpack("<HH", file.read(4)))
    return np.memmap(path, dtype, "r", start, shape)
