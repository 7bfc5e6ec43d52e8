"""The curves of the growth benchmark: ``python -m benchmarks.plots RUN/growth.json OUT.png``."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

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
        for row, label in ((0, unit), (1, "peak MiB")):
            place = axes[row, column]
            place.set_xscale("log")
            place.set_yscale("log")
            place.set_ylabel(label)
            place.grid(True, which="major", color="#ddd")
            place.spines[["top", "right"]].set_visible(False)
        axes[0, column].set_title(title, fontsize=11)
    axes[0, 0].legend(frameon=False, fontsize=9)
    fig.savefig(out, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    chosen = parser.parse_args()
    draw(curves(json.loads(chosen.run.read_text())["figures"]), chosen.out)


if __name__ == "__main__":
    main()
