"""A report as Markdown: the same parts as on the page, for a README or an issue."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from mgrec.measure.intervals import Interval
from mgrec.study.parts import Results, Section, Slices, Summary


def markdown(summary: Summary) -> str:
    """Return title, verdict, tables, slices and card; what is drawn is the page's alone."""
    parts = [f"# {summary.title}", summary.verdict]
    for section in summary.intro:
        parts += _section(section)
    for results in summary.tables:
        parts += _results(results)
    for section in summary.sections:
        parts += _section(section)
    for slices in summary.slices:
        parts += _slices(slices)
    if summary.card:
        card = [(name, f"`{entry}`") for name, entry in summary.card.items()]
        parts += ["## Reproduction", _table(("", ""), card)]
    return "\n\n".join(parts) + "\n"


def _section(section: Section) -> Iterator[str]:
    yield f"## {section.title}"
    if section.lead:
        yield section.lead
    if section.words:
        yield "\n".join(f"- **{name}**: {meaning}" for name, meaning in section.words.items())
    for sheet in section.sheets:
        if sheet.title:
            yield f"### {sheet.title}"
        yield _table(sheet.head, sheet.rows)
        if sheet.about:
            yield sheet.about
    for curve in section.curves:
        yield f"### {curve.title}"
        low, high = curve.low or curve.y, curve.high or curve.y
        points = zip(curve.x, curve.y, low, high, strict=True)
        rows = [(f"{x:g}", _cell(Interval(*interval))) for x, *interval in points]
        yield _table((curve.x_label, ""), rows)
    for strip in section.strips:
        yield f"### {strip.title}"
        yield "\n".join(f"- {item.title}" for item in strip.items)
        if strip.about:
            yield strip.about
    if section.seen:
        yield section.seen


def _results(results: Results) -> Iterator[str]:
    beside = list(dict.fromkeys(name for row in results.rows for name in row.beside))
    rows = [
        (
            row.name,
            *(_cell(row.metrics.get(name)) for name in results.columns),
            *(row.beside.get(name, "") for name in beside),
        )
        for row in results.rows
    ]
    yield f"## {results.title}"
    yield _table(("", *results.columns, *beside), rows)
    yield results.protocol
    notes = [f"- {row.name}: {row.note}" for row in results.rows if row.note]
    if notes:
        yield "\n".join(notes)


def _slices(slices: Slices) -> Iterator[str]:
    names = list(dict.fromkeys(name for row in slices.rows for name in row.values))
    rows = [
        (row.name, f"{row.cases:,}", *(_cell(row.values.get(name)) for name in names))
        for row in slices.rows
    ]
    yield f"## {slices.metric} by slice"
    yield _table(("", "cases", *names), rows)


def _cell(found: Interval | None) -> str:
    if found is None or not math.isfinite(found.value):
        return ""
    if not math.isfinite(found.low):
        return f"{found.value:.4f}"
    return f"{found.value:.4f} [{found.low:.4f}, {found.high:.4f}]"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *(["---:"] * (len(head) - 1))], *rows]
    return "\n".join(
        "| " + " | ".join(c.replace("|", "\\|") for c in line) + " |" for line in lines
    )
