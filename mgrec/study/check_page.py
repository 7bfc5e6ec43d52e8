"""What `mgrec check` says: a page of plain text."""

from __future__ import annotations

from collections.abc import Sequence

from mgrec.study.check import Check, Finding, Modality

_HELD_OUT = {
    "leave_one_out": "each user's last item is the test, the one before it the validation",
    "global_time": "everybody's log is cut at the same two moments",
    "none": "nothing is held out",
}


def text(found: Check) -> str:
    """Return all that was understood of the data, section by section."""
    modalities = [_modality(m, found.counts["items"]) for m in found.modalities]
    sections: dict[str, Sequence[str]] = {
        "Order, which decides what is held out": [found.order],
        "Left out, or worth a look": found.warnings,
        "What was read": found.understood,
        "Size": _sizes(found),
        "Content": modalities,
        "Histories": _histories(found),
        "Popularity": _popularity(found),
        f"Held out ({found.split}: {_HELD_OUT[found.split]})": _held_out(found),
        "Possible leakage": _findings(found.findings),
    }
    if found.forecast is not None:
        sections["Forecast of a fit"] = found.forecast.lines()
    return "\n\n".join(_section(title, lines) for title, lines in sections.items())


def _section(title: str, lines: Sequence[str]) -> str:
    return "\n".join([title, *(f"  {line}" for line in lines or ("nothing",))])


def _sizes(found: Check) -> list[str]:
    n = found.counts
    lines = [
        f"users: {n['users']:,}, items: {n['items']:,}, interactions: {n['interactions']:,}"
        f" ({n['interactions'] / n['users']:.1f} a user, {n['interactions'] / n['items']:.1f}"
        " an item)"
    ]
    if found.period is not None:
        lines.append(f"from {found.period[0]} to {found.period[1]} (UTC)")
    return lines


def _modality(modality: Modality, items: int) -> str:
    line = f"{modality.name}: from {modality.sources[0]}"
    if len(modality.sources) > 1:
        line += f" (also there: {', '.join(modality.sources[1:])})"
    line += f"; items that have it: {items - modality.missing:,} of {items:,}"
    if modality.missing:
        line += f", that lack it and are kept: {modality.missing:,}"
    if modality.same:
        line += f", that share theirs with another item: {modality.same:,}"
    return line


def _histories(found: Check) -> list[str]:
    lengths = ", ".join(f"{name} {value:,}" for name, value in found.history.items())
    again = "no user takes an item twice"
    if found.repeats:
        again = f"{_share(found.repeats)} of interactions are with an item the user had before"
    return [f"interactions a user: {lengths}", again]


def _popularity(found: Check) -> list[str]:
    p = found.popularity
    return [
        f"the most popular 1% of items get {_share(p['top_1_percent'])} of interactions,"
        f" the most popular 10% get {_share(p['top_10_percent'])}",
        f"items never taken: {p['never']:,}, items at most twice in train: {p['rare_in_train']:,}",
    ]


def _held_out(found: Check) -> list[str]:
    n = found.counts
    return [
        f"interactions in train: {n['train']:,}, users in validation: {n['validation']:,},"
        f" in test: {n['test']:,}"
    ]


def _findings(findings: Sequence[Finding]) -> list[str]:
    """Return what was found, and then what was looked for and not found."""
    lines = [
        f"{f.what}: {f.count:,} of {f.of:,} ({_share(f.count / f.of)}); {f.why}"
        for f in findings
        if f.count
    ]
    absent = [f.name.replace("_", " ") for f in findings if f.of and not f.count]
    if absent:
        lines.append(f"looked for and not found: {', '.join(absent)}")
    blind = [f.name.replace("_", " ") for f in findings if not f.of]
    if blind:
        lines.append(f"could not be looked for in this data or split: {', '.join(blind)}")
    return lines


def _share(value: float) -> str:
    """Return a share as people say it: never 0% of something that is there."""
    if 0 < value < 0.001:
        return "under 0.1%"
    return f"{value:.1%}"
