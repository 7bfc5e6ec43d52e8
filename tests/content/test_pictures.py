"""Any picture comes out as RGB; anything else comes out as a problem of a known kind."""

import struct
import time
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mgrec.content.pictures import (
    MAX_PIXELS,
    PictureProblem,
    ahead,
    attempt,
    picture_key,
    read_picture,
)

SIDE = 32
RED, BLUE, WHITE, BLACK, GREY = (255, 0, 0), (0, 0, 255), (255,) * 3, (0,) * 3, (128,) * 3


def halves(left=RED, right=BLUE, mode="RGB", size=(90, 60)) -> Image.Image:
    """A picture whose left half has one colour and whose right half another."""
    picture = Image.new(mode, size, left)
    picture.paste(right, (size[0] // 2, 0, *size))
    return picture


def encoded(picture: Image.Image, kind: str, **options) -> bytes:
    stream = BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def sides(picture: Image.Image) -> tuple[np.ndarray, np.ndarray]:
    """The colours in the middle of the left and of the right half."""
    assert picture.mode == "RGB"
    assert picture.size == (SIDE, SIDE)
    pixels = np.asarray(picture)
    return pixels[SIDE // 2, SIDE // 4], pixels[SIDE // 2, 3 * SIDE // 4]


def sixteen_bits() -> Image.Image:
    values = np.full((60, 90), 65535, np.uint16)
    values[:, 45:] = 0
    return Image.fromarray(values)


def fractions() -> Image.Image:
    values = np.full((60, 90), 1.0, np.float32)
    values[:, 45:] = 0
    return Image.fromarray(values)


def clear_right(mode: str) -> Image.Image:
    picture = halves().convert(mode)
    alpha = Image.new("L", picture.size, 255)
    alpha.paste(0, (45, 0, 90, 60))
    picture.putalpha(alpha)
    return picture


GREY_RED = (76,) * 3  # red's luminance
READ = {
    "jpeg": (encoded(halves(), "JPEG", quality=95), RED, BLUE),
    "progressive jpeg": (encoded(halves(), "JPEG", progressive=True), RED, BLUE),
    "cmyk jpeg": (encoded(halves().convert("CMYK"), "JPEG", quality=95), RED, BLUE),
    "grey jpeg": (encoded(halves(255, 0, "L"), "JPEG"), WHITE, BLACK),
    "large jpeg": (encoded(halves(size=(1800, 1200)), "JPEG"), RED, BLUE),
    "png": (encoded(halves(), "PNG"), RED, BLUE),
    "palette png": (encoded(halves().quantize(4), "PNG"), RED, BLUE),
    "one bit png": (encoded(halves(1, 0, "1"), "PNG"), WHITE, BLACK),
    "16 bit png": (encoded(sixteen_bits(), "PNG"), WHITE, BLACK),
    "transparent png": (encoded(clear_right("RGBA"), "PNG"), RED, WHITE),
    "grey transparent png": (encoded(clear_right("LA"), "PNG"), GREY_RED, WHITE),
    "gif": (encoded(halves(), "GIF"), RED, BLUE),
    "webp": (encoded(halves(), "WEBP", lossless=True), RED, BLUE),
    "transparent webp": (encoded(clear_right("RGBA"), "WEBP", lossless=True), RED, WHITE),
    "bmp": (encoded(halves(), "BMP"), RED, BLUE),
    "tiff": (encoded(halves(), "TIFF"), RED, BLUE),
    "cmyk tiff": (encoded(halves().convert("CMYK"), "TIFF"), RED, BLUE),
    "tiff of fractions": (encoded(fractions(), "TIFF"), WHITE, BLACK),
    "lab tiff": (encoded(Image.new("LAB", (90, 60), (0, 128, 128)), "TIFF"), BLACK, BLACK),
}


@pytest.mark.parametrize("name", READ)
def test_every_kind_of_picture_is_read(name: str, tmp_path: Path):
    data, left, right = READ[name]
    (tmp_path / "picture").write_bytes(data)  # what it is, its bytes say and not its name
    for source in (data, tmp_path / "picture"):
        seen = sides(read_picture(source, SIDE))
        np.testing.assert_allclose(seen, [left, right], atol=12)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_of_an_animation_the_first_frame(kind: str):
    more = [halves(BLUE, RED), halves(WHITE, WHITE)]
    data = encoded(halves(), kind, save_all=True, append_images=more)
    np.testing.assert_allclose(sides(read_picture(data, SIDE)), [RED, BLUE], atol=12)


def test_transparent_colour_of_a_palette_is_white():
    picture = halves().quantize(4)
    clear = picture.getpixel((80, 5))
    data = encoded(picture, "PNG", transparency=clear)
    np.testing.assert_allclose(sides(read_picture(data, SIDE)), [RED, WHITE], atol=12)


@pytest.mark.parametrize("size", [(1, 1), (1, 400), (400, 1), (3, 2)])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF"])
def test_tiny_and_thin_pictures(size: tuple[int, int], kind: str):
    picture = read_picture(encoded(Image.new("RGB", size, RED), kind), SIDE)
    np.testing.assert_allclose(sides(picture), [RED, RED], atol=12)


def test_turned_as_exif_says():
    upright = Image.new("RGB", (60, 90), RED)
    upright.paste(BLUE, (0, 45, 60, 90))  # red above blue
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise: what is above goes to the right
    data = encoded(upright, "JPEG", exif=exif, quality=95)
    np.testing.assert_allclose(sides(read_picture(data, SIDE)), [BLUE, RED], atol=12)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize("damaged", [b"II*\0\xff\xff\xff\xff broken", b"garbage", b"II*\0", b""])
def test_damaged_exif_does_not_cost_the_picture(damaged: bytes):
    data = encoded(halves(), "JPEG", exif=b"Exif\0\0" + damaged, quality=95)
    np.testing.assert_allclose(sides(read_picture(data, SIDE)), [RED, BLUE], atol=12)


def test_whole_picture_is_seen():
    poster = Image.new("RGB", (200, 300), GREY)
    poster.paste(RED, (0, 0, 200, 30))  # a title that a centre crop would lose
    pixels = np.asarray(read_picture(encoded(poster, "PNG"), SIDE))
    np.testing.assert_allclose(pixels[0, SIDE // 2], RED, atol=20)


def png_of(width: int, height: int) -> bytes:
    """A PNG that announces a size and has no pixels."""

    def part(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = part(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", header) + pixels + part(b"IEND", b"")


NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
REFUSED = {
    "text": (b"a picture of a cat", "not a picture"),
    "html": (b"<!doctype html><title>404</title>", "not a picture"),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n", "not a picture"),
    "jpeg cut off": (encoded(NOISE, "JPEG")[:-400], "corrupt or cut off"),
    "png cut off": (encoded(NOISE, "PNG")[:-400], "corrupt or cut off"),
    "webp cut off": (encoded(NOISE, "WEBP")[:-400], "corrupt or cut off"),
    "gif cut off": (encoded(NOISE, "GIF")[:-400], "corrupt or cut off"),
    "bmp cut off": (encoded(NOISE, "BMP")[:-400], "corrupt or cut off"),
    "jpeg's first bytes": (encoded(NOISE, "JPEG")[:10], "corrupt or cut off"),
    "bomb": (png_of(60_000, 60_000), "over 50 million pixels"),
    "smaller bomb": (png_of(10_000, MAX_PIXELS // 10_000 + 1), "over 50 million pixels"),
    "real bomb": (encoded(Image.new("1", (8000, 7000)), "PNG"), "over 50 million pixels"),
    "within the limit, but no pixels": (png_of(7000, 7000), "corrupt or cut off"),
}


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("name", REFUSED)
def test_no_picture_is_a_problem(name: str):
    data, kind = REFUSED[name]
    with pytest.raises(PictureProblem) as problem:
        read_picture(data, SIDE)
    assert problem.value.kind == kind


def test_files_that_cannot_be_read(tmp_path: Path):
    (tmp_path / "empty.jpg").touch()
    for name, kind in {
        "absent.jpg": "no such file",
        "empty.jpg": "empty file",
        ".": "cannot be opened",
    }.items():
        with pytest.raises(PictureProblem) as problem:
            picture_key(tmp_path / name)
        assert problem.value.kind == kind
    with pytest.raises(PictureProblem, match="no such file"):
        read_picture(tmp_path / "absent.jpg", SIDE)


def test_key_is_of_the_bytes(tmp_path: Path):
    one, same, other = tmp_path / "1.jpg", tmp_path / "2.png", tmp_path / "3.jpg"
    one.write_bytes(b"x" * 9)
    same.write_bytes(b"x" * 9)
    other.write_bytes(b"x" * 8 + b"y")
    assert picture_key(one) == picture_key(same) == picture_key(b"x" * 9) != picture_key(other)


DAMAGED = [READ[name][0] for name in ("jpeg", "png", "gif", "webp", "tiff", "bmp", "16 bit png")]


@settings(max_examples=300, deadline=None)
@given(
    data=st.sampled_from(DAMAGED),
    places=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=8),
    kept=st.floats(0, 1),
)
@pytest.mark.filterwarnings("ignore")
def test_damaged_bytes_are_read_or_refused(data: bytes, places, kept: float):
    damaged = bytearray(data[: max(1, int(len(data) * kept))])
    for place, value in places:
        damaged[int(place * len(damaged))] = value
    found = attempt(lambda source: read_picture(source, SIDE), bytes(damaged))
    if not isinstance(found, PictureProblem):
        assert (found.mode, found.size) == ("RGB", (SIDE, SIDE))


def test_ahead_keeps_the_order_and_its_distance():
    taken = []

    def source():
        for number in range(100):
            taken.append(number)
            yield number

    doubled = ahead(lambda number: 2 * number, source(), window=10)
    assert [next(doubled) for _ in range(5)] == [0, 2, 4, 6, 8]
    assert len(taken) <= 15  # no more is read than somebody will take soon
    assert list(doubled) == [2 * number for number in range(5, 100)]


def parted(kind: str, part: bytes, before: bytes) -> bytes:
    """A picture with four million bytes of a part that nobody needs, before what is named."""
    data = encoded(NOISE, kind)
    place = 2 if kind == "JPEG" else data.index(before) - (4 if kind == "PNG" else 0)
    return data[:place] + part * (4_000_000 // len(part)) + data[place:]


def run_lengths() -> bytes:
    width, height = 2000, 1000
    body = b"".join(b"\x01\x05" * width + b"\0\0" for _ in range(height)) + b"\0\1"
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(body), 0, 0, 256, 0)
    start = 14 + len(head) + 1024
    return b"BM" + struct.pack("<IHHI", start + len(body), 0, 0, start) + head + bytes(1024) + body


def scans(n: int) -> bytes:
    data = encoded(NOISE, "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last : last + 14] * n + b"\xff\xd9"


EMPTY = b"abCd" + struct.pack(">I", zlib.crc32(b"abCd"))
PARTS, SLOW = "too many parts in the file", "too large for a format that is slow to decode"
LONG = {
    "png of empty parts": (parted("PNG", bytes(4) + EMPTY, b"IDAT"), PARTS),
    "png of empty parts at its end": (parted("PNG", bytes(4) + EMPTY, b"IEND"), PARTS),
    "gif of comments": (parted("GIF", b"\x21\xfe\x01c\0", b"\x2c\0\0\0\0"), PARTS),
    "jpeg of comments": (parted("JPEG", b"\xff\xfe\0\2", b""), PARTS),
    "jpeg of filling": (parted("JPEG", b"\xff", b""), PARTS),
    "jpeg of photoshop's blocks": (
        parted(
            "JPEG",
            b"\xff\xed"
            + struct.pack(">H", 60016)
            + b"Photoshop 3.0\0"
            + (b"8BIM" + b"\0\1\0\0" + b"\0\0\0\0") * 5000,
            b"",
        ),
        PARTS,
    ),
    "jpeg of scans": (scans(1000), PARTS),
    "ppm of a comment": (b"P6 #" + b"x" * 4_000_000 + b"\n1 1 255\nabc", PARTS),
    "ppm of comments as text": (b"P3 9 9 255\n" + b"#\n" * 500_000 + b"1 " * 243, SLOW),
    "bmp of run lengths": (run_lengths(), SLOW),
}


@pytest.mark.parametrize("name", LONG)
def test_a_picture_that_takes_long_to_read_is_refused_at_once(name):
    data, kind = LONG[name]
    begun = time.process_time()
    assert attempt(lambda source: read_picture(source, SIDE), data).kind == kind
    assert time.process_time() - begun < 5


@pytest.mark.parametrize(
    "data",
    [
        encoded(halves(), "JPEG", progressive=True, comment=b"x" * 60_000),
        encoded(halves(), "JPEG", icc_profile=bytes(3_000_000)),
        encoded(halves(), "GIF", comment=b"x" * 60_000),
        encoded(halves(), "TIFF", tiffinfo={270: "x" * 1_000_000}),
        encoded(halves(), "GIF", save_all=True, append_images=[Image.new("RGB", (90, 60))] * 300),
    ],
)
def test_pictures_with_much_beside_them_are_read(data):
    left, right = sides(read_picture(data, SIDE))
    np.testing.assert_allclose(left, RED, atol=40)
    np.testing.assert_allclose(right, BLUE, atol=40)


def test_a_file_over_a_hundred_million_bytes_is_refused(tmp_path):
    with (tmp_path / "large.png").open("wb") as file:
        file.write(encoded(NOISE, "PNG"))
        file.truncate(100_000_001)
    found = attempt(lambda source: read_picture(source, SIDE), tmp_path / "large.png")
    assert found.kind == "over 100 million bytes"
