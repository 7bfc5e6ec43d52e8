"""Writing a comparison's report: page, Markdown and JSON, all from one structure."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mgrec.errors import MissingExtra
from mgrec.folders import new_file
from mgrec.progress import say
from mgrec.study.comparison import Comparison
from mgrec.study.comparison_page import page, rows_of
from mgrec.study.markdown import markdown
from mgrec.study.parts import Section
from mgrec.study.report import plain, to_json, write_report
from mgrec.study.table import Table
from mgrec.study.wording import method, verdict

PAGE, MARKDOWN, JSON = "report.html", "report.md", "report.json"


def publish(comparison: Comparison, folder: Path, more: Iterable[Section] = ()) -> None:
    """Write the report; without Jinja2 there is no page, and a line says so."""
    summary = page(comparison, more)
    for name, text in ((MARKDOWN, markdown(summary)), (JSON, to_json(document(comparison)))):
        with new_file(folder / name) as draft:
            draft.write_text(text + "\n", "utf-8")
    try:
        write_report(folder / PAGE, summary)
    except MissingExtra as missing:
        say(f"no report page: {missing}")


def document(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison for JSON: every figure, test and cost."""
    found: dict[str, Any] = plain(comparison)
    return {"verdict": verdict(comparison), **found}


def table(comparison: Comparison, folder: Path) -> Table:
    """Return the first table for a terminal, with the answer underneath."""
    first, *others = comparison.standings
    notes = [method(first, comparison.reference), "", verdict(comparison)]
    for standing in others:
        notes += ["", Table(rows_of(standing), standing.protocol).to_text()]
    notes += ["", *(f"{name}: does not apply: {why}" for name, why in comparison.absent.items())]
    notes += [f"Report: {folder / PAGE} (also {MARKDOWN}, {JSON})"]
    return Table(rows_of(first), first.protocol, tuple(notes))
