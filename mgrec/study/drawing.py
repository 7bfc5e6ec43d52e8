"""The geometry of the report's small drawings; the template turns it into SVG and CSS."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from mgrec.measure.intervals import Interval

WIDTH, HEIGHT = 400, 210  # of a plot, in its own units
SIDE = 360  # of a map
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 12, 12, 40

Tick = tuple[float, str]  # where, and what it says


@dataclass(frozen=True)
class Plot:
    """A line in a box of WIDTH x HEIGHT; points are SVG ``x,y x,y``."""

    line: str
    band: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    ends: tuple[str, str]  # the first value and the last
    marked: tuple[float, float, str] | None  # x, y and the value there
    left: float = _LEFT
    right: float = WIDTH - _RIGHT
    bottom: float = HEIGHT - _BOTTOM


@dataclass(frozen=True)
class Whisker:
    """A dot at its value and a line from low to high, in percent of the track."""

    dot: float
    low: float
    high: float


def plot(
    x: Sequence[float],
    y: Sequence[float],
    low: Sequence[float] = (),
    high: Sequence[float] = (),
    marked: float | None = None,
) -> Plot | None:
    """Place a line, and a band where there is one; None without a single finite point."""
    rows = np.array([x, y, low or y, high or y], np.float64).T  # [points, 4]
    rows = rows[np.isfinite(rows).all(axis=1)]
    if len(rows) == 0:
        return None
    span_x = (rows[:, 0].min(), rows[:, 0].max())
    y_ticks = ticks_around(rows[:, 1:].min(), rows[:, 1:].max())
    across = _scale(span_x, (_LEFT, WIDTH - _RIGHT))
    down = _scale((y_ticks[0], y_ticks[-1]), (HEIGHT - _BOTTOM, _TOP))
    at = None if marked is None else int(np.argmin(np.abs(rows[:, 0] - marked)))
    there_and_back = [*rows[:, [0, 3]], *rows[::-1][:, [0, 2]]] if low or high else []
    return Plot(
        line=" ".join(f"{across(a):.1f},{down(b):.1f}" for a, b in rows[:, :2]),
        band=" ".join(f"{across(a):.1f},{down(b):.1f}" for a, b in there_and_back),
        x_ticks=_ticks(ticks(*span_x), across),
        y_ticks=_ticks(y_ticks, down),
        ends=(f"{rows[0, 1]:.4g}", f"{rows[-1, 1]:.4g}"),
        marked=None
        if at is None
        else (across(rows[at, 0]), down(rows[at, 1]), f"{rows[at, 1]:.4g}"),
    )


def whiskers(
    intervals: Iterable[Interval | None],
) -> tuple[tuple[Whisker | None, ...], tuple[Tick, ...]]:
    """Place intervals on one track that begins at zero, and the track's ticks."""
    known = [None if i is None or not math.isfinite(i.value) else i for i in intervals]
    ends = [max(i.value, i.high if math.isfinite(i.high) else 0) for i in known if i is not None]
    top = max(ends, default=0) * 1.02 or 1.0
    placed = tuple(None if i is None else _whisker(i, top) for i in known)
    return placed, _ticks(ticks(0, top), _scale((0, top), (0, 100)))


def scatter(
    x: Sequence[float], y: Sequence[float], sizes: Sequence[float]
) -> tuple[tuple[float, float, float], ...]:
    """Place dots in a box of SIDE x SIDE: centre and radius each, areas as the sizes.

    Both axes have one scale, so that distances are what they were.
    """
    places = np.array([x, y], np.float64).T  # [dots, 2]
    if not len(places):
        return ()
    areas = np.asarray(sizes, np.float64)
    # Many dots are small ones, or they would hide each other.
    most = min(14.0, 0.3 * SIDE / len(areas) ** 0.5)
    radius = np.maximum(most * np.sqrt(areas / max(areas.max(), 1e-12)), 1.5)
    low, high = places.min(0), places.max(0)
    span = float((high - low).max()) or 1.0
    scaled = SIDE / 2 + (places - (low + high) / 2) / span * (SIDE - 2 * most - 8)
    scaled[:, 1] = SIDE - scaled[:, 1]  # SVG counts downwards
    return tuple((float(a), float(b), float(r)) for (a, b), r in zip(scaled, radius, strict=True))


def bars(counts: Sequence[int], most: int = 64) -> tuple[float, ...]:
    """Return heights in percent of the tallest: counts from the largest down, at most `most`."""
    ranked = np.sort(np.asarray(counts, np.float64))[::-1]
    groups = np.array_split(ranked, min(most, len(ranked))) if len(ranked) else []
    means = np.array([group.mean() for group in groups])
    return tuple(float(height) for height in 100 * means / max(means.max(initial=0), 1e-12))


def ticks(low: float, high: float) -> list[float]:
    """Return some round numbers within low and high, or the one value that there is."""
    step = _step(low, high)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [n * step for n in range(first, last + 1)] or [low]


def ticks_around(low: float, high: float) -> list[float]:
    """Return at least two round numbers, the first not above low and the last not below high."""
    step = _step(low, high)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [n * step for n in range(first, max(last, first + 1) + 1)]


def _step(low: float, high: float) -> float:
    """Return 1, 2 or 5 times a power of ten, about a quarter of the span."""
    quarter = max((high - low or abs(high) or 1.0) / 4, 1e-300)  # below lie no normal numbers
    unit = 10.0 ** math.floor(math.log10(quarter))
    return next(unit * m for m in (1, 2, 5, 10) if unit * m >= quarter * 0.999)


def _whisker(interval: Interval, top: float) -> Whisker:
    low, high = (
        end if math.isfinite(end) else interval.value for end in (interval.low, interval.high)
    )
    return Whisker(*(100 * end / top for end in (interval.value, low, high)))


def _scale(values: tuple[float, float], places: tuple[float, float]) -> Callable[[float], float]:
    """From a span of values to a span of places; a span without width goes to the middle."""
    (low, high), (start, stop) = values, places

    def place(value: float) -> float:
        part = (value - low) / (high - low) if high > low else 0.5
        return float(start + part * (stop - start))

    return place


def _ticks(values: Sequence[float], place: Callable[[float], float]) -> tuple[Tick, ...]:
    """Label round numbers with the decimals that tell them apart."""
    step = values[1] - values[0] if len(values) > 1 else abs(values[0]) or 1.0
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return tuple((place(value), f"{value:,.{decimals}f}") for value in values)
