"""The pictures of a planted world: patterned swatches whose *look* is all that they tell.

A look is a pattern in a palette. Position, size, angle, shade and grain differ between items and
mean nothing. Pillow is imported when the first picture is drawn.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mgrec.errors import MissingExtra

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

Colour = tuple[int, int, int]
Point = tuple[float, float]
# (draw on it, pixels a side, pixels of one motif, random numbers, colours)
Pattern = Callable[["ImageDraw", int, float, np.random.Generator, tuple[Colour, ...]], None]

_FINER = 2  # drawn this many times larger, then shrunk: smooth edges
_MARGIN = 1.4  # drawn on a square this much larger: turned by 30 degrees it leaves no empty corner


@dataclass(frozen=True)
class Look:
    """A pattern in a palette.

    Attributes
    ----------
    name : str
    pattern : Pattern
    ground : Colour
        What lies behind the motifs.
    inks : tuple of Colour
        What the motifs are drawn in.
    """

    name: str
    pattern: Pattern
    ground: Colour
    inks: tuple[Colour, ...]


def draw(look: Look, rng: np.random.Generator, side: int = 96) -> Image:
    """Draw one item's picture: RGB, ``side`` x ``side`` pixels.

    Raises
    ------
    MissingExtra
        If Pillow is not installed.
    """
    try:
        from PIL import Image, ImageDraw
    except ImportError:
        raise MissingExtra("drawing pictures needs Pillow: pip install 'mgrec[encoders]'") from None
    fine = side * _FINER
    width = int(fine * _MARGIN)
    ground, *inks = _shaded((look.ground, *look.inks), rng)
    canvas = Image.new("RGB", (width, width), ground)
    motif = fine / 4 * rng.uniform(0.75, 1.3)
    look.pattern(ImageDraw.Draw(canvas), width, motif, rng, tuple(inks))
    turned = canvas.rotate(rng.uniform(-30, 30), Image.Resampling.BICUBIC)
    edge = (width - fine) // 2
    small = turned.crop((edge, edge, edge + fine, edge + fine)).resize(
        (side, side), Image.Resampling.LANCZOS
    )
    return Image.fromarray(_lit(np.asarray(small, np.float64), rng))


def _shaded(colours: tuple[Colour, ...], rng: np.random.Generator) -> list[Colour]:
    """Make all colours of one picture a little lighter or darker, and each a little different."""
    light = rng.uniform(0.92, 1.06)
    near = np.array(colours) * light + rng.uniform(-8, 8, (len(colours), 3))
    return [(int(r), int(g), int(b)) for r, g, b in np.clip(near, 0, 255)]


def _lit(pixels: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Let light fall in from one side, and add grain; [side, side, 3]."""
    across = np.linspace(-1, 1, len(pixels))
    angle = rng.uniform(0, 2 * math.pi)
    fall = 1 + 0.08 * (np.cos(angle) * across[:, None] + np.sin(angle) * across)
    grain = rng.normal(0, rng.uniform(1, 4), (*fall.shape, 1))
    lit: NDArray[np.uint8] = np.clip(pixels * fall[..., None] + grain, 0, 255).astype(np.uint8)
    return lit


def _grid(
    width: int, step: float, rng: np.random.Generator, shift: float = 0.5
) -> Iterator[tuple[float, float, int]]:
    """Yield x, y and a running number over a grid; every second row is shifted."""
    left, top = -rng.uniform(0, step, 2)
    rows, columns = int(width / step) + 3, int(width / step) + 3
    for row in range(rows):
        for column in range(columns):
            x = left + (column + shift * (row % 2) - 0.5) * step
            yield x, top + (row - 0.5) * step, row + column


def _disc(at: ImageDraw, x: float, y: float, radius: float, colour: Colour) -> None:
    at.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)


def _corners(x: float, y: float, radius: float, n: int, turn: float) -> list[Point]:
    """Return the corners of a regular polygon."""
    angles = [turn + 2 * math.pi * i / n for i in range(n)]
    return [(x + radius * math.cos(a), y + radius * math.sin(a)) for a in angles]


def _circles(
    at: ImageDraw, width: int, motif: float, rng: np.random.Generator, inks: tuple[Colour, ...]
) -> None:
    for x, y, i in _grid(width, motif * 1.25, rng):
        dx, dy = rng.uniform(-0.12, 0.12, 2) * motif
        _disc(at, x + dx, y + dy, motif * rng.uniform(0.38, 0.58), inks[i % len(inks)])


def _stripes(
    at: ImageDraw, width: int, motif: float, rng: np.random.Generator, inks: tuple[Colour, ...]
) -> None:
    x, i = -rng.uniform(0, motif), 0
    while x < width:
        at.rectangle((x, 0, x + motif * 0.42, width), fill=inks[i % len(inks)])
        x, i = x + motif * 0.84, i + 1


def _triangles(
    at: ImageDraw, width: int, motif: float, rng: np.random.Generator, inks: tuple[Colour, ...]
) -> None:
    for x, y, i in _grid(width, motif * 1.1, rng):
        at.polygon(_corners(x, y, motif * 0.58, 3, -math.pi / 2), fill=inks[i % len(inks)])


def _rings(
    at: ImageDraw, width: int, motif: float, rng: np.random.Generator, inks: tuple[Colour, ...]
) -> None:
    x, y = width * rng.uniform(0.38, 0.62, 2)
    line = motif * 0.26
    for i in range(int(width / line / 2), 0, -1):
        radius = i * line * 2
        at.ellipse(
            (x - radius, y - radius, x + radius, y + radius),
            outline=inks[i % len(inks)],
            width=int(line),
        )


def _checks(
    at: ImageDraw, width: int, motif: float, rng: np.random.Generator, inks: tuple[Colour, ...]
) -> None:
    half = motif * 0.4
    for x, y, i in _grid(width, motif * 0.8, rng, shift=0):
        at.rectangle((x, y, x + half, y + half), fill=inks[i % len(inks)])
        at.rectangle((x + half, y + half, x + 2 * half, y + 2 * half), fill=inks[i % len(inks)])


def _zigzags(
    at: ImageDraw, width: int, motif: float, rng: np.random.Generator, inks: tuple[Colour, ...]
) -> None:
    step, left = motif * 0.55, -rng.uniform(0, motif)
    y, i = -step - rng.uniform(0, step), 0
    while y < width + step:
        path = [(left + j * step, y + step * (j % 2)) for j in range(int(width / step) + 4)]
        at.line(path, fill=inks[i % len(inks)], width=int(motif * 0.28), joint="curve")
        y, i = y + motif * 0.75, i + 1


def _hearts(
    at: ImageDraw, width: int, motif: float, rng: np.random.Generator, inks: tuple[Colour, ...]
) -> None:
    for x, y, i in _grid(width, motif * 1.3, rng):
        colour, r = inks[i % len(inks)], motif * 0.27
        for lobe in (x - r * 0.95, x + r * 0.95):
            _disc(at, lobe, y - r * 0.5, r, colour)
        tip = [(x - r * 1.82, y - r * 0.02), (x + r * 1.82, y - r * 0.02), (x, y + r * 2)]
        at.polygon([*tip, (x, y - r * 0.6)], fill=colour)
        at.polygon(tip, fill=colour)


def _scallops(
    at: ImageDraw, width: int, motif: float, rng: np.random.Generator, inks: tuple[Colour, ...]
) -> None:
    radius, top = motif * 0.5, -rng.uniform(0, motif)
    # From the bottom up, so that each row lies over the one below it, as tiles do.
    for row in range(int(width / radius) + 4, -2, -1):
        x = -motif + (row % 2) * radius
        while x < width + motif:
            for i, share in enumerate((1, 0.72, 0.42)):
                _disc(at, x, top + row * radius, radius * share, inks[i % len(inks)])
            x += motif


def _crosses(
    at: ImageDraw, width: int, motif: float, rng: np.random.Generator, inks: tuple[Colour, ...]
) -> None:
    long, thick = motif * 0.42, motif * 0.14
    for x, y, i in _grid(width, motif * 1.15, rng):
        for w, h in ((long, thick), (thick, long)):
            at.rectangle((x - w, y - h, x + w, y + h), fill=inks[i % len(inks)])


def _diamonds(
    at: ImageDraw, width: int, motif: float, rng: np.random.Generator, inks: tuple[Colour, ...]
) -> None:
    for x, y, i in _grid(width, motif, rng):
        w, h = motif * 0.3, motif * 0.46
        at.polygon([(x - w, y), (x, y - h), (x + w, y), (x, y + h)], fill=inks[i % len(inks)])


def _hexagons(
    at: ImageDraw, width: int, motif: float, rng: np.random.Generator, inks: tuple[Colour, ...]
) -> None:
    left, top = -rng.uniform(0, motif, 2)
    across, down = motif * 0.95, motif * 0.95 * math.sqrt(3) / 2
    for row in range(int(width / down) + 3):
        for column in range(int(width / across) + 3):
            x, y = left + (column + 0.5 * (row % 2)) * across, top + row * down
            ink = inks[int(rng.integers(len(inks)))]
            at.polygon(_corners(x, y, motif * 0.49, 6, math.pi / 6), fill=ink)


def _dots(
    at: ImageDraw, width: int, motif: float, rng: np.random.Generator, inks: tuple[Colour, ...]
) -> None:
    for x, y, i in _grid(width, motif * 0.5, rng):
        _disc(at, x, y, motif * 0.12, inks[i % len(inks)])


LOOKS = (
    Look("coral circles", _circles, (253, 240, 222), ((239, 108, 90), (246, 160, 130))),
    Look("navy stripes", _stripes, (226, 238, 248), ((28, 58, 112),)),
    Look("lemon triangles", _triangles, (18, 104, 108), ((250, 218, 84), (255, 240, 160))),
    Look("violet rings", _rings, (232, 220, 246), ((122, 72, 172), (170, 128, 212))),
    Look("charcoal checks", _checks, (242, 240, 236), ((46, 46, 50),)),
    Look("amber zigzags", _zigzags, (92, 48, 28), ((244, 152, 46), (250, 204, 128))),
    Look("pink hearts", _hearts, (204, 238, 218), ((226, 86, 138),)),
    Look(
        "azure scallops",
        _scallops,
        (24, 116, 190),
        ((24, 116, 190), (120, 196, 236), (236, 248, 252)),
    ),
    Look("plum crosses", _crosses, (252, 234, 164), ((112, 34, 100),)),
    Look("golden diamonds", _diamonds, (26, 26, 62), ((222, 178, 74), (246, 222, 150))),
    Look(
        "green hexagons", _hexagons, (236, 246, 214), ((88, 156, 72), (132, 190, 88), (52, 116, 66))
    ),
    Look("crimson dots", _dots, (150, 18, 56), ((252, 226, 232),)),
)
