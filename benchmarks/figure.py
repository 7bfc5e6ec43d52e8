"""One measured figure, beside what it is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """A median of ours, and of theirs in the same run.

    Attributes
    ----------
    name : what was measured
    ours : in `unit`
    unit : such as ``"users/s"``; whether more or less is better, `ratio` says
    theirs : the same of `against`, or None where there is nothing to compare with
    against : what a user would pick instead
    ratio : how many times better ours is, above 1 where it is better; None without `theirs`
    target : what was asked for, in words, or empty
    met : whether the target is reached; None without one
    note : how it was measured, where that is not plain from the name
    """

    name: str
    ours: float
    unit: str
    theirs: float | None = None
    against: str = ""
    ratio: float | None = None
    target: str = ""
    met: bool | None = None
    note: str = ""


def faster(
    name: str,
    ours: float,
    theirs: float,
    against: str,
    *,
    unit: str,
    least: float | None = None,
    note: str = "",
) -> Figure:
    """Return a figure of two rates in `unit` (more is better); `least` is the ratio asked for."""
    ratio = ours / theirs
    target = "" if least is None else f"at least {least:g}x"
    met = None if least is None else ratio >= least
    return Figure(name, ours, unit, theirs, against, ratio, target, met, note)


def bounded(name: str, value: float, unit: str, most: float, note: str = "") -> Figure:
    """Return a figure that has to stay below a bound."""
    return Figure(name, value, unit, target=f"at most {most:g}", met=value <= most, note=note)


def table(figures: Sequence[Figure]) -> str:
    """Write figures as a Markdown table."""
    lines = [
        "| | mgrec | unit | instead | ratio | target | |",
        "|---|---|---|---|---|---|---|",
    ]
    for f in figures:
        instead = "" if f.theirs is None else f"{_short(f.theirs)} ({f.against})"
        ratio = "" if f.ratio is None else f"**{f.ratio:.3g}x**"
        met = {None: "", True: "met", False: "**missed**"}[f.met]
        name = f.name if not f.note else f"{f.name}; {f.note}"
        cells = (name, _short(f.ours), f.unit, instead, ratio, f.target, met)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
