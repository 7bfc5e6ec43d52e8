"""Writing what a comparison or a study found: page, Markdown and JSON, from one structure each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from mgrec.errors import MissingExtra
from mgrec.folders import new_file
from mgrec.progress import say
from mgrec.study.comparison import Comparison
from mgrec.study.comparison_page import page, rows_of
from mgrec.study.diagnosis_page import page as study_page
from mgrec.study.diagnostics import Diagnosis
from mgrec.study.markdown import markdown
from mgrec.study.parts import Section, Summary
from mgrec.study.report import plain, to_json, write_report
from mgrec.study.table import Table
from mgrec.study.wording import method, verdict

PAGE, MARKDOWN, JSON = "report.html", "report.md", "report.json"
STUDY = ("study.html", "study.md", "study.json")


def publish(comparison: Comparison, folder: Path, more: Iterable[Section] = ()) -> None:
    """Write the report; without Jinja2 there is no page, and a line says so."""
    _write(folder, page(comparison, more), document(comparison), (PAGE, MARKDOWN, JSON))


def publish_study(diagnosis: Diagnosis, folder: Path) -> Path:
    """Write a study beside its comparison's report; return the most readable file there is."""
    summary = study_page(diagnosis)
    written = _write(folder, summary, study_document(diagnosis, summary), STUDY)
    return folder / (STUDY[0] if written else STUDY[1])


def _write(
    folder: Path, summary: Summary, figures: dict[str, Any], names: tuple[str, str, str]
) -> bool:
    """Write page, Markdown and JSON; False where there is no page for want of Jinja2."""
    html, *others = names
    for name, text in zip(others, (markdown(summary), to_json(figures)), strict=True):
        with new_file(folder / name) as draft:
            draft.write_text(text + "\n", "utf-8")
    try:
        write_report(folder / html, summary)
    except MissingExtra as missing:
        say(f"no report page: {missing}")
        return False
    return True


def study_document(diagnosis: Diagnosis, summary: Summary) -> dict[str, Any]:
    """Return a study for JSON: every figure, and what is said of it."""
    told = {field.name: getattr(diagnosis, field.name) for field in fields(diagnosis)}
    items = told.pop("items")["item_id"]
    del told["root"]
    if diagnosis.company is not None:
        one = diagnosis.company
        named = {block: items.gather(list(rows)).to_list() for block, rows in one.shown.items()}
        told["company"] = {**vars(one), "pivot": items[one.pivot], "shown": named}
    told["maps"] = [
        {name: a.tolist() if isinstance(a, np.ndarray) else a for name, a in vars(one).items()}
        for one in diagnosis.maps
    ]
    seen = {section.title: section.seen for section in summary.sections if section.seen}
    found: dict[str, Any] = plain({"verdict": summary.verdict, "seen": seen, **told})
    return found


def document(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison for JSON: every figure, test and cost."""
    found: dict[str, Any] = plain(comparison)
    return {"verdict": verdict(comparison), **found}


def table(comparison: Comparison, folder: Path) -> Table:
    """Return the first table for a terminal, with the answer underneath."""
    first, *others = comparison.standings
    notes = [method(first, comparison.reference), "", verdict(comparison)]
    for standing in others:
        how = method(standing, comparison.reference)
        notes += ["", Table(rows_of(standing), standing.protocol, (how,)).to_text()]
    notes += ["", *(f"{name}: does not apply: {why}" for name, why in comparison.absent.items())]
    notes += [f"Report: {folder / PAGE} (also {MARKDOWN}, {JSON})"]
    return Table(rows_of(first), first.protocol, tuple(notes))
