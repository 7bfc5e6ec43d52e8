"""Picture files, read as a small RGB square whatever they are, or refused with a reason.

Every encoder sees the whole picture squashed to a square: a centre crop would cut a third off a
2:3 poster, its title and often its faces, while networks hardly mind a changed proportion.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

A = TypeVar("A")
B = TypeVar("B")
Picture = Path | bytes

# 50 million pixels are 150 MB as RGB; the header tells, so that a bomb is never unpacked.
MAX_PIXELS = 50_000_000
# What a catalogue may hold. Not among them: formats that start other programs (EPS).
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM", "ICO", "MPO")
# Limits that keep decoding to about a second. Ordinary pictures stay far below them.
MAX_BYTES = 100_000_000
_READS, _BYTES_A_READ = 20_000, 128  # reads allowed: a base, and one more per so many bytes
_SCANS, _BLOCKS = 64, 10_000  # most scans of a progressive JPEG, and most Photoshop blocks
_SLOW_BYTES, _SLOW_PIXELS = 100_000, 1_000_000  # limits for formats that Pillow decodes in Python
_ORIENTATION = 0x0112  # EXIF tag


class PictureProblem(Exception):
    """A picture that cannot be used; ``kind`` groups it with others."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


def picture_key(source: Picture) -> bytes:
    """Return the SHA-256 of a picture's bytes.

    Raises
    ------
    PictureProblem
        If there is no such file, it cannot be opened or it is empty.
    """
    with _opened(source) as stream:
        if not stream.read(1):
            raise PictureProblem("empty file")
        stream.seek(0)
        return hashlib.file_digest(stream, "sha256").digest()


def read_picture(source: Picture, side: int) -> Image:
    """Return a picture as RGB, ``side`` x ``side`` pixels.

    Of an animation the first frame, turned the way EXIF says, transparency on white.

    Raises
    ------
    PictureProblem
        If it is missing, empty, no picture, corrupt, cut off, over `MAX_PIXELS` or `MAX_BYTES`, or
        takes too long to decode for its size.
    """
    from PIL import Image, UnidentifiedImageError

    with _opened(source) as stream:
        try:
            with Image.open(_bounded(stream), formats=_formats()) as picture:
                if picture.width * picture.height > MAX_PIXELS:
                    raise PictureProblem(f"over {MAX_PIXELS // 10**6} million pixels")
                _refuse_slow(picture)
                # A JPEG is decoded at a half, quarter or eighth of its size, if that is enough.
                picture.draft(None, (2 * side, 2 * side))
                picture.load()
                return _rgb(_upright(picture)).resize(
                    (side, side), Image.Resampling.BICUBIC, reducing_gap=2.0
                )
        except PictureProblem:
            raise
        except Image.DecompressionBombError:
            raise PictureProblem(f"over {MAX_PIXELS // 10**6} million pixels") from None
        except UnidentifiedImageError:
            raise PictureProblem("not a picture") from None
        except Exception:  # decoders raise almost anything on damaged bytes; it is counted
            raise PictureProblem("corrupt or cut off") from None


def is_pixel(source: Picture) -> bool:
    """Whether a picture that can be read has one pixel, as those have that web pages count by."""
    from PIL import Image

    with (
        _opened(source) as stream,
        Image.open(_bounded(stream), formats=_formats()) as picture,
    ):
        return picture.size == (1, 1)


class _Counted(BytesIO):
    """A file in memory that may be read a limited number of times.

    Pillow reads the parts of a file one by one in Python: millions of empty parts take minutes.
    """

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.size = len(data)
        self._left = _READS + len(data) // _BYTES_A_READ

    def read(self, size: int | None = -1, /) -> bytes:
        self._left -= 1
        if self._left < 0:
            raise PictureProblem("too many parts in the file")
        return super().read(size)


def _bounded(stream: BytesIO | BufferedReader) -> _Counted:
    """Return a file's bytes; refuse files that would take long to decode."""
    data = stream.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise PictureProblem(f"over {MAX_BYTES // 10**6} million bytes")
    jpeg = data.startswith(b"\xff\xd8")  # each of its scans goes over all pixels
    if jpeg and (data.count(b"\xff\xda") > _SCANS or data.count(b"8BIM") > _BLOCKS):
        raise PictureProblem("too many parts in the file")
    return _Counted(data)


def _refuse_slow(picture: ImageFile) -> None:
    """Refuse large pictures of formats that Pillow decodes pixel by pixel in Python.

    These are BMP with run-length encoding, and PPM as text or with other than 8 bits.
    """
    from PIL import Image

    in_python = any(tile[0] in Image.DECODERS for tile in picture.tile)
    size = getattr(picture.fp, "size", 0)
    if in_python and (size > _SLOW_BYTES or picture.width * picture.height > _SLOW_PIXELS):
        raise PictureProblem("too large for a format that is slow to decode")


@contextmanager
def _opened(source: Picture) -> Iterator[BytesIO | BufferedReader]:
    if isinstance(source, bytes):
        yield BytesIO(source)
        return
    try:
        with source.open("rb") as stream:
            yield stream
    except FileNotFoundError:
        raise PictureProblem("no such file") from None
    except OSError:  # a folder, no permission, a disk that fails
        raise PictureProblem("cannot be opened") from None


def _formats() -> list[str]:
    """Return those formats that this build of Pillow reads."""
    from PIL import Image

    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


def _upright(picture: Image) -> Image:
    from PIL import ImageOps

    try:
        turned = picture.getexif().get(_ORIENTATION, 1) != 1
    except Exception:  # damaged metadata is no reason to lose an intact picture
        turned = False
    return ImageOps.exif_transpose(picture) if turned else picture


def _rgb(picture: Image) -> Image:
    from PIL import Image

    if picture.mode.startswith("I") or picture.mode == "F":
        return _eight_bits(picture).convert("RGB")
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    layer = picture.convert("RGBA")
    white = Image.new("RGBA", layer.size, "white")
    return Image.alpha_composite(white, layer).convert("RGB")


def _eight_bits(picture: Image) -> Image:
    """Return a grey picture of 16 or 32 bits, or of fractions, with values 0 to 255.

    Pillow's own conversion clips at 255, which turns such pictures white.
    """
    from PIL import Image

    values = np.array(picture, np.float32)
    np.nan_to_num(values, copy=False)
    highest = float(values.max(initial=0))
    if picture.mode == "F":
        top = next((t for t in (1, 255, 65535) if highest <= t), highest)
    else:
        top = max(65535, highest)
    np.clip(values, 0, None, out=values)
    values *= 255 / top
    return Image.fromarray(values.astype(np.uint8))


def attempt(task: Callable[[A], B], on: A) -> B | PictureProblem:
    """Return ``task(on)``, or the problem that it raises."""
    try:
        return task(on)
    except PictureProblem as problem:
        return problem


def ahead(task: Callable[[A], B], over: Iterable[A], window: int = 128) -> Iterator[B]:
    """Yield ``task(x)`` for every x, in order; a few threads work up to ``window`` results ahead.

    Pillow decodes and scales outside Python's lock, so the network need not wait for pictures.
    """
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        waiting: deque[Future[B]] = deque()
        for x in over:
            waiting.append(pool.submit(task, x))
            if len(waiting) >= window:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


@contextmanager
def quiet() -> Iterator[None]:
    """Silence Pillow's warnings: what they are about is counted as a problem or read anyway."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")
        yield
