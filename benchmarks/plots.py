"""The curves of the growth benchmark: ``python -m benchmarks.plots RUN/growth.json OUT.png``."""

from __future__ import annotations

import argparse
import json
import math
import re
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

COLOURS = {"default model": "#2a62c4", "paper family": "#b4572c"}
TITLES = {
    "items": ("Items in the catalogue", "ms a user"),
    "tokens": ("Tokens of an ID", "ms a user"),
    "history": ("Items of the history", "ms a user"),
    "beams": ("Beams", "ms a user"),
    "interactions": ("Interactions in the log", "seconds an epoch"),
}
NAME = re.compile(r"(.+), (?:a user|an epoch), (\w+) ([\d,]+)$")
PEAK = re.compile(r"peak ([\d,]+) MiB")

Curves = dict[str, dict[str, list[tuple[int, float, float]]]]  # axis, family: x, time, peak MiB


def curves(figures: list[dict[str, object]]) -> Curves:
    """Gather a run's points."""
    found: Curves = {axis: {} for axis in TITLES}
    for figure in figures:
        name, peak = NAME.match(str(figure["name"])), PEAK.match(str(figure["note"]))
        if name is None or peak is None:
            continue
        family, axis, value = name.groups()
        seconds = float(str(figure["ours"])) / (1000 if axis == "interactions" else 1)
        point = (int(value.replace(",", "")), seconds, float(peak[1].replace(",", "")))
        found[axis].setdefault(family, []).append(point)
    return found


def draw(found: Curves, out: Path) -> None:
    """Draw time above and memory below, a column an axis."""
    fig, axes = plt.subplots(2, len(TITLES), figsize=(15, 5.6), layout="constrained")
    for column, (axis, (title, unit)) in enumerate(TITLES.items()):
        for family, points in found[axis].items():
            x, time, peak = zip(*points, strict=True)
            for row, y in ((0, time), (1, peak)):
                axes[row, column].plot(x, y, "o-", color=COLOURS[family], label=family, ms=4)
        values = sorted({x for points in found[axis].values() for x, _, _ in points})
        for row, label in ((0, unit), (1, "peak MiB")):
            place = axes[row, column]
            place.set_xscale("log")
            place.set_xticks(values, [_short(value) for value in values])
            place.minorticks_off()
            place.set_ylabel(label)
            place.grid(True, which="major", color="#ddd")
            place.spines[["top", "right"]].set_visible(False)
        _whole_decades(axes[0, column])
        axes[1, column].set_ylim(0, 1.08 * axes[1, column].dataLim.y1)  # no marker is cut
        axes[0, column].set_title(title, fontsize=11)
    axes[0, 0].legend(frameon=False, fontsize=9)
    fig.savefig(out, dpi=110)


def _whole_decades(place: Axes) -> None:
    """Scale times by powers of ten, all in view, so that a slope looks the same anywhere."""
    place.set_yscale("log")
    low, high = place.get_ylim()
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    place.set_yticks([10.0**n for n in decades], [f"{10.0**n:,g}" for n in decades])
    place.minorticks_off()


def _short(value: int) -> str:
    """Write 10,000 as 10k."""
    for size, letter in ((10**6, "M"), (10**3, "k")):
        if value >= size:
            return f"{value // size}{letter}"
    return str(value)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    chosen = parser.parse_args()
    draw(curves(json.loads(chosen.run.read_text())["figures"]), chosen.out)


if __name__ == "__main__":
    main()
