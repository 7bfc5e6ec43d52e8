"""A diagnosis in figures: whom codes and predictions follow, what alignment is worth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mgrec.measure.intervals import Paired, holm
from mgrec.study import correspondence as kinds
from mgrec.study.diagnostics import Diagnosis
from mgrec.study.dominance import Dominance
from mgrec.study.members import LEVEL
from mgrec.study.parts import Section, Sheet, filled
from mgrec.study.retrieval import Retrieval
from mgrec.study.wording import agreement, percent, probability, share

_TO = "\N{NO-BREAK SPACE}to\N{NO-BREAK SPACE}"  # a line may break before brackets, not within
INTERVALS = "In brackets: 95% intervals over users."
ITSELF = "itself, another seed"


def dominance(found: Diagnosis) -> Section | None:
    if not found.dominances:
        return None
    sheets = []
    for row, several in found.dominances.items():
        one = several[0]
        modalities = list(one.levels[0].own)
        head = ("", *(f"with {m}" for m in modalities), *(f"with {m}, so far" for m in modalities))
        lines = [
            (
                f"level {level.level}",
                *(_over(several, n, m, own=True) for m in modalities),
                *(_over(several, n, m, own=False) for m in modalities),
            )
            for n, level in enumerate(one.levels)
        ]
        about = (
            f"Over the {one.items:,} items that have every modality; {_seeds(len(several))}. 1:"
            " the codes sort the items alike; 0: no more alike than chance. A level's own codes"
            " first, then all codes so far, which soon name single items. For comparison, at"
            f" level 1: {modalities[0]} with {modalities[1]}"
            f" {agreement(float(np.mean([d.between for d in several])))}"
        )
        if row in found.kin:
            about += f"; the same fused codes made with another seed {found.kin[row]:.2f}"
        sheets.append(Sheet(f"Codes of {row}", head, tuple(lines), about + "."))
    return Section(
        "Which modality fused codes follow",
        "Early fusion mixes text and picture before it makes codes of them. Do the codes sort the"
        " items as the text does, or as the picture does?",
        sheets=tuple(sheets),
        seen=" ".join(_leads(row, several) for row, several in found.dominances.items()),
    )


def _over(several: Sequence[Dominance], level: int, modality: str, *, own: bool) -> str:
    """Write the mean over seeds, and their range where there are several."""
    levels = [one.levels[level] for one in several]
    values = [(at.own if own else at.upto)[modality] for at in levels]
    text = agreement(float(np.mean(values)))
    if len(values) == 1:
        return text
    low, high = agreement(min(values)), agreement(max(values))
    return f"{text} ({low}{_TO}{high})"


def _leads(row: str, several: tuple[Dominance, ...]) -> str:
    first = {m: np.mean([d.levels[0].own[m] for d in several]) for m in several[0].levels[0].own}
    ranked = sorted(first, key=lambda modality: -first[modality])
    leaders = {one.leader for one in several}
    if len(leaders) > 1:
        return f"Which modality the first codes of {row} follow differs from seed to seed."
    others = " and ".join(f"{first[m]:.2f} with {m}" for m in ranked[1:])
    return (
        f"The first codes of {row} follow the {ranked[0]} most: agreement"
        f" {first[ranked[0]]:.2f}, against {others}."
    )


def overlaps(found: Diagnosis) -> Section | None:
    """Overlap of hits and lists between rows; None if no pair of rows has a figure."""
    hits = _shared(found, "hits")
    lists = _shared(found, "lists")
    base = {one.other: one.base for one in found.overlaps if one.other != one.row}
    sheets = []
    if hits is not None:
        chance = ", ".join(f"{other} {share:.1%}" for other, share in base.items())
        about = "All test cases, seed beside seed."
        if chance:
            about += (
                " If hits had nothing to do with each other, the figures would be how often the"
                f" column hits at all: {chance}."
            )
        title = "Of the row's hits, those that the column hits too"
        sheets.append(Sheet(title, *hits, f"{about} {INTERVALS}"))
    if lists is not None:
        about = "All test cases, seed beside seed."
        if ITSELF in lists[0]:
            about += (
                " Two trainings of one model that differ by chance alone show how much could be"
                " the same."
            )
        title = "Of the row's ten items, those that the column recommends too"
        sheets.append(Sheet(title, *lists, f"{about} {INTERVALS}"))
    if not sheets:
        return None
    return Section(
        "Whose predictions they repeat",
        "When a model gets the next item right among its ten, do the models of one modality alone"
        " get it right too? And do they recommend the same items?",
        sheets=tuple(sheets),
        seen=_nearest(found),
    )


def _shared(
    found: Diagnosis, figure: str
) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]] | None:
    """Return head and rows of a table of overlaps; None without any figure."""
    cells = {}
    for one in found.overlaps:
        value = getattr(one, figure)
        column = ITSELF if one.row == one.other else one.other
        cells[one.row, column] = "" if value is None else percent(value)
    rows = list(dict.fromkeys(one.row for one in found.overlaps))
    columns = [*dict.fromkeys(one.other for one in found.overlaps if one.other != one.row), ITSELF]
    lines = [(row, *(cells.get((row, column), "") for column in columns)) for row in rows]
    return filled(("", *columns), lines)


def _nearest(found: Diagnosis) -> str:
    """Say whose lists each fusion's are closer to; p is corrected for being several."""
    if not found.closer:
        known = [pair for pair in found.overlaps if np.isfinite(pair.hits.value)]
        if not known:
            return "No row has a hit in its top ten, so no hits can overlap."
        one = max(known, key=lambda pair: pair.hits.value)
        other = "itself under another seed" if one.other == one.row else one.other
        return f"{one.row} shares the most of its hits, with {other}: {percent(one.hits)}."
    corrected = holm([test.p for _, _, test in found.closer.values()])
    return " ".join(
        _repeats(row, one, other, test, p)
        for (row, (one, other, test)), p in zip(found.closer.items(), corrected, strict=True)
    )


def _repeats(row: str, one: str, other: str, test: Paired, p: float) -> str:
    difference = test.difference
    near, far = (one, other) if difference.value > 0 else (other, one)
    if p >= LEVEL:
        return f"The lists of {row} are no closer to {one} than to {other} (p {probability(p)})."
    low, high = sorted(abs(end) for end in (difference.low, difference.high))
    return (
        f"The lists of {row} are closer to those of {near} than to those of {far}: of ten items"
        f" {10 * abs(difference.value):.1f} more are the same [{10 * low:.1f}, {10 * high:.1f}]."
    )


def correspondence(found: Diagnosis) -> Section | None:
    absent = found.absent.get("correspondence", {})
    if not found.correspondences and not absent:
        return None
    sheets = [_generated(found), _right(found), _repaired(found)] if found.correspondences else []
    if absent:
        rows = tuple(absent.items())
        sheets.append(Sheet("Models that this does not apply to", ("", "why"), rows))
    return Section(
        "Whether text and picture belong together",
        "A model writes an ID code by code. If nothing kept it to the IDs of real items, would the"
        " text's part and the picture's part be of one item?",
        sheets=tuple(sheet for sheet in sheets if sheet is not None),
        seen=_mends(found),
    )


def _generated(found: Diagnosis) -> Sheet | None:
    columns = (kinds.LEGAL, kinds.DIGITS, kinds.MISMATCHED, kinds.UNKNOWN)
    rows = [
        (
            row,
            *(percent(one.generated[kind]) if kind in one.generated else "" for kind in columns),
            percent(one.first[kinds.LEGAL]),
        )
        for row, one in found.correspondences.items()
    ]
    table = filled(("", *columns, "likeliest one is an item's"), rows)
    if table is None:
        return None
    return Sheet(
        "What the ten likeliest IDs are, with the catalogue constraint off",
        *table,
        f"{found.users:,} test cases, first seeds, as many beams as in recommending. The last code"
        f" tells items with the same codes apart. {INTERVALS}",
    )


def _right(found: Diagnosis) -> Sheet | None:
    blocks = {row: one for row, one in found.correspondences.items() if one.right}
    columns = list(dict.fromkeys(name for one in blocks.values() for name in one.right))
    rows = [
        (row, *(percent(one.right[c]) if c in one.right else "" for c in columns))
        for row, one in blocks.items()
    ]
    table = filled(("", *columns), rows)
    if table is None:
        return None
    return Sheet(
        "Which blocks of the next item are among those ten",
        *table,
        'Test cases whose next item has every modality; a row adds up to 100%. "Only text": the'
        " text's codes are right in one of the ten, the picture's in none.",
    )


def _repaired(found: Diagnosis) -> Sheet:
    rows = tuple(
        (row, percent(one.free), percent(one.constrained), percent(one.repaired), percent(one.lost))
        for row, one in found.correspondences.items()
    )
    head = ("", "hits without", "hits with", "repaired by it", "lost by it")
    about = (
        "Share of test cases whose next item is among the ten. Repaired: hit with the constraint,"
        " missed without; lost: the other way round."
    )
    return Sheet("What the constraint is worth", head, rows, about)


def _mends(found: Diagnosis) -> str:
    parts = []
    for row, one in found.correspondences.items():
        if kinds.MISMATCHED not in one.generated:
            continue
        parts.append(
            f"Left free, {share(one.generated[kinds.MISMATCHED])} of what {row} writes joins"
            f" blocks of different items, and {share(one.generated[kinds.LEGAL])} is an item's ID;"
            f" the constraint turns {share(one.repaired)} of all cases from misses into hits."
        )
    if not parts and found.correspondences:
        return "No model here generates several blocks, so there is nothing to join wrongly."
    if not parts:
        return (
            "Every model here was trained with the legal softmax, under which codes that belong to"
            " no item cannot be written, so that the question does not arise."
        )
    return " ".join(parts)


def alignment(found: Diagnosis) -> Section | None:
    if not found.aligned:
        return None
    sheets = []
    for row, one in found.aligned.items():
        stages = {"before": one.before, "after": one.after, "after, items it was shown": one.shown}
        rows = tuple(
            (f"{r.source} looks for {r.goal}, {stage}", *_looked(r))
            for direction in range(len(one.before))
            for stage, measured in stages.items()
            if direction < len(measured)
            for r in (measured[direction],)
        )
        head = ("", "R@1", "R@10", "guessing", "modality gap")
        first = one.after[0]
        sheets.append(
            Sheet(
                row,
                head,
                rows,
                f"{first.items:,} items that alignment did not see look for their own block among"
                f" {first.among:,} different ones; the stage was run anew for this. The gap is the"
                " distance between the middles of both modalities, 0 to 2. In brackets: 95%"
                " intervals over items.",
            )
        )
    return Section(
        "What alignment teaches",
        "Before it learns what users take, late++ learns which text belongs to which picture. Does"
        " that hold for items that it was not shown?",
        sheets=tuple(sheets),
        seen=" ".join(_learned(row, one.before, one.after) for row, one in found.aligned.items()),
    )


def _looked(one: Retrieval) -> tuple[str, ...]:
    guessing = " / ".join(f"{part:.1%}" for part in one.guessed)
    return percent(one.first), percent(one.ten), guessing, f"{one.gap:.2f}"


def _learned(row: str, before: tuple[Retrieval, ...], after: tuple[Retrieval, ...]) -> str:
    one, then = before[0], after[0]
    interval = f"[{then.ten.low:.0%}, {then.ten.high:.0%}]"
    better = "more than" if then.ten.low > then.guessed[1] else "not clearly more than"
    return (
        f"In {row}, the {then.source} of {share(then.ten)} of withheld items finds their"
        f" {then.goal} among its first ten after alignment {interval}, {better} guessing gives"
        f" ({then.guessed[1]:.1%}); before alignment it is {share(one.ten)}. The modality gap goes"
        f" from {one.gap:.2f} to {then.gap:.2f}."
    )


def _seeds(count: int) -> str:
    return "one seed" if count == 1 else f"means over {count} seeds, with their range"
