"""A comparison as the parts of a page, which HTML and Markdown both are written from."""

from __future__ import annotations

import math
from collections.abc import Iterable

from mgrec.measure.intervals import Interval
from mgrec.measure.metrics import COLUMNS
from mgrec.measure.slices import MEANING
from mgrec.study.claims_page import judged
from mgrec.study.comparison import Comparison, Line, Standing
from mgrec.study.members import HEADLINE
from mgrec.study.parts import (
    LEAD,
    Curve,
    Results,
    Row,
    Section,
    Sheet,
    SliceRow,
    Slices,
    Summary,
    filled,
)
from mgrec.study.published import published
from mgrec.study.wording import (
    IDEA,
    duration,
    method,
    probability,
    seeds,
    signed,
    spread,
    verdict,
)

SPREAD = f"spread of {HEADLINE}"
_TITLES = {False: "Results", True: "Results, seen items left out"}
_LEADS = {
    False: LEAD,
    True: "The same rows, where no list may name an item that the user already has.",
}


def page(comparison: Comparison, more: Iterable[Section] = ()) -> Summary:
    """Return everything that there is to say, in the order in which it is read.

    Parameters
    ----------
    more : further sections, such as diagnostics; they stand before the published figures
    """
    first, *others = (_results(standing) for standing in comparison.standings)
    return Summary(
        title=f"{comparison.reference or 'Strategies'} beside {_others(comparison)}",
        verdict=verdict(comparison),
        facts=comparison.facts,
        intro=(*judged(comparison.claims), _what(comparison)),
        results=first.rows,
        columns=first.columns,
        protocol=first.protocol,
        more=tuple(others),
        sections=tuple(
            section
            for section in (
                _tests(comparison),
                _costs(comparison),
                _sweeps(comparison),
                *more,
                _left_out(comparison),
                _published(comparison),
            )
            if section is not None
        ),
        slices=tuple(_sliced(comparison)),
        card=comparison.card,
    )


def _others(comparison: Comparison) -> str:
    count = len(comparison.standings[0].lines) - 1
    return f"{count} other{'' if count == 1 else 's'}" if count > 0 else "nothing yet"


def _results(standing: Standing) -> Results:
    titles = (_TITLES[standing.exclude_seen], _LEADS[standing.exclude_seen])
    return Results(*titles, rows_of(standing), COLUMNS, HEADLINE, standing.protocol)


def rows_of(standing: Standing) -> tuple[Row, ...]:
    """Return a table's rows, for a page or a terminal."""
    return tuple(
        Row(
            line.name,
            line.kind,
            line.metrics,
            beside={
                name: value
                for name, value in {"seeds": seeds(line), "p, corrected": _corrected(line)}.items()
                if value
            },
        )
        for line in standing.lines
    )


def _corrected(line: Line) -> str:
    return "" if line.test is None else probability(line.test.corrected)


def _what(comparison: Comparison) -> Section:
    lines = comparison.standings[0].lines
    return Section("What is compared", IDEA, {line.name: line.what for line in lines})


def _tests(comparison: Comparison) -> Section | None:
    sheets = []
    for standing in comparison.standings:
        rows = tuple(
            (
                line.name,
                f"{signed(line.test.difference.value)}",
                f"{signed(line.test.difference.low)} to {signed(line.test.difference.high)}",
                probability(line.test.p),
                probability(line.test.corrected),
                line.test.verdict,
            )
            for line in standing.lines
            if line.test is not None
        )
        if rows:
            head = ("", "difference", "95% interval", "p", "p, corrected", "row is")
            title = "Seen items left out" if standing.exclude_seen else "Nothing filtered"
            title = title if len(comparison.standings) > 1 else ""
            sheets.append(Sheet(title, head, rows, method(standing, comparison.reference)))
    if not sheets:
        return None
    lead = f"Each row minus {comparison.reference}: above zero, the row is the better one."
    return Section(f"Tests against {comparison.reference}", lead, sheets=tuple(sheets))


def _costs(comparison: Comparison) -> Section | None:
    lines = comparison.standings[0].lines
    rows = [
        (
            line.name,
            seeds(line),
            spread(line),
            "" if line.cost.parameters is None else f"{line.cost.parameters:,}",
            duration(line.cost.seconds),
            "" if line.cost.users_per_second is None else f"{line.cost.users_per_second:,.0f}",
        )
        for line in lines
    ]
    table = filled(("", "seeds", SPREAD, "parameters", "training", "users a second"), rows)
    if table is None:
        return None
    about = [
        "Training and users a second (ranking 20 items of the whole catalogue) are means over seeds"
        " on the machine of the card, with whatever else it did at the time."
    ]
    if SPREAD in table[0]:
        about.insert(0, "Spread: standard deviation between seeds, and each seed's value.")
    about += [f"{line.name}: {line.notes}." for line in lines if line.notes]
    lead = "How much a row's figure depends on chance, and what it takes."
    return Section("Seeds and cost", lead, sheets=(Sheet("", *table, " ".join(about)),))


def _sweeps(comparison: Comparison) -> Section | None:
    """Draw what was swept over numbers, each with its base's own row if it lies on the axis."""
    points: dict[tuple[str, str], list[tuple[float, Interval]]] = {}
    for line in comparison.standings[0].lines:
        if line.point is not None and (value := _number(line.point.value)) is not None:
            place = points.setdefault((line.point.base, line.point.key), [])
            place.append((value, line.metrics[HEADLINE]))
    curves = []
    for (base, key), found in points.items():
        if len(found) > 1:
            x, values = zip(*sorted(found, key=lambda pair: pair[0]), strict=True)
            y, low, high = zip(*((v.value, v.low, v.high) for v in values), strict=True)
            curves.append(Curve(f"{base}: {HEADLINE}", key, x, y, low, high))
    if not curves:
        return None
    lead = "One setting changed at a time, one seed each; the band is the 95% interval over users."
    return Section("Sweeps", lead, curves=tuple(curves))


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _left_out(comparison: Comparison) -> Section | None:
    sheets = []
    if comparison.absent:
        rows = tuple(comparison.absent.items())
        sheets.append(Sheet("Does not apply to this data", ("", "why"), rows))
    if comparison.waiting:
        rows = tuple((name, "the same command goes on with it") for name in comparison.waiting)
        sheets.append(Sheet("Not done yet", ("", "what to do"), rows))
    return Section("What is missing", sheets=tuple(sheets)) if sheets else None


def _published(comparison: Comparison) -> Section | None:
    if comparison.dataset is None:
        return None
    ours = [
        (line.name, line.metrics[HEADLINE].value, line.metrics["Recall@10"].value, line.made)
        for line in comparison.standings[0].lines
        if line.headline
    ]
    return published(comparison.dataset, ours)


def _sliced(comparison: Comparison) -> Iterable[Slices]:
    for standing in comparison.standings:
        beside = ", seen items left out" if standing.exclude_seen else ""
        for metric in standing.lines[0].slices if standing.lines else ():
            rows = tuple(
                SliceRow(
                    name,
                    MEANING.get(name, ""),
                    cases,
                    {line.name: line.slices[metric][name] for line in standing.lines},
                )
                for name, cases in comparison.cases.items()
            )
            yield Slices(metric + beside, rows)
