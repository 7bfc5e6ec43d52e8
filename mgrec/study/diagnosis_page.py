"""A diagnosis as the parts of a page: each section asks, shows, and says what is seen."""

from __future__ import annotations

from collections.abc import Mapping

from mgrec.study.diagnostics import Diagnosis
from mgrec.study.findings import alignment, correspondence, dominance, overlaps
from mgrec.study.gallery import maps, pivots_company
from mgrec.study.parts import Section, Sheet, Summary

_PARTS = (dominance, overlaps, correspondence, pivots_company, maps, alignment)


def page(found: Diagnosis) -> Summary:
    """Return everything that a study has to say, in the order in which it is read."""
    made = (part(found) for part in (*_PARTS, _absent))
    sections = tuple(section for section in made if section is not None)
    told = [section.seen for section in (dominance(found), alignment(found)) if section is not None]
    return Summary(
        title="What the codes hold, and what the models do with them",
        verdict=" ".join(told)
        or "Fused codes and alignment could not be studied on these models; the last section says"
        " why.",
        facts=found.facts,
        results=(),
        columns=(),
        sections=sections,
        card=found.card,
    )


def _absent(found: Diagnosis) -> Section | None:
    names: Mapping[str, str] = {
        "dominance": "which modality fused codes follow",
        "alignment": "what alignment teaches",
        "map": "the map of first codes",
    }
    rows = [
        (names[analysis], row, why)
        for analysis, reasons in found.absent.items()
        if analysis in names
        for row, why in reasons.items()
    ]
    if not found.overlaps:
        why = "no second seed, and no other model of one modality in the same family"
        rows.append(("whose predictions models repeat", "", why))
    if found.company is None:
        rows.append(("what each modality's codes hold", "", "no item has every modality"))
    if not rows:
        return None
    sheet = Sheet("", ("", "of", "why"), tuple(rows))
    return Section("What is missing", sheets=(sheet,))
