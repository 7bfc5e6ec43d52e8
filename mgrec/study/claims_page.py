"""The judged claims as sections of a page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mgrec.measure.intervals import Interval
from mgrec.study.claims import PROMISED, Gain, Judged, Verdict
from mgrec.study.members import HEADLINE
from mgrec.study.parts import Section, Sheet, filled
from mgrec.study.wording import probability, signed, tested_over

_HEAD = ("", "verdict", "difference", "95% interval", "p, corrected", "with each seed", "of what")
_METHOD = (
    f"Differences of {HEADLINE} user by user, nothing filtered; for early fusion, of the part of"
    " the first 10 recommended that two rows share. Holds and does not hold: the difference is"
    " above or below zero, and p, corrected for all tests of the table (Holm), is below .05."
    " Undecided: chance could show the opposite. {over} What early fusion's lists share, and tail"
    " items, have a noise of their own. With each seed: of those that both rows have. Every target"
    " is one item: a row that writes one block only has digits of its own behind it, and is right"
    " where the item is."
)


def judged(found: Sequence[Judged]) -> Iterator[Section]:
    """Return a section for each strategy whose claims were judged."""
    for one in found:
        title = "The paper's claims" + (f": {one.base}" if len(found) > 1 else "")
        lead = (
            "What the paper (arXiv 2503.23333) says of its strategies, asked of this data, with"
            " this budget. Undecided is an answer too: these runs do not tell."
        )
        tested = any(verdict.difference is not None for verdict in one.verdicts)
        about = _METHOD.format(over=tested_over(one.noise)) if tested else ""
        table = filled(_HEAD, map(_row, one.verdicts))
        sheets = [] if table is None else [Sheet("", *table, about)]
        if one.gain is not None:
            sheets.append(_gain(one.gain))
        if one.control:
            table = filled(_HEAD, map(_row, one.control))
            about = "If shuffled images cost nothing, what they show is not used."
            if table is not None:
                sheets.append(Sheet("Control: images shuffled between items", *table, about))
        yield Section(title, lead, sheets=tuple(sheets))


def _row(verdict: Verdict) -> tuple[str, ...]:
    if verdict.difference is None or verdict.corrected is None:
        return (verdict.claim, verdict.answer, "", "", "", "", verdict.note)
    what = verdict.rows + (f" ({verdict.note})" if verdict.note else "")
    return (
        verdict.claim,
        verdict.answer,
        signed(verdict.difference.value),
        _ends(verdict.difference),
        probability(verdict.corrected),
        ", ".join(signed(found) for found in verdict.by_seed),
        what,
    )


def _gain(gain: Gain) -> Sheet:
    value = gain.value
    row = (
        gain.rows,
        _percent(value.value),
        f"{_percent(value.low)} to {_percent(value.high)}",
        f"over {100 * PROMISED:.0f}%",
        gain.answer,
        ", ".join(map(_percent, gain.by_seed)),
    )
    return Sheet(
        "The headline",
        (
            f"relative gain of {HEADLINE}",
            "here",
            "95% interval",
            "the paper",
            "verdict",
            "each seed",
        ),
        (row,),
        "Over the single modality that scores higher here; the interval is of the ratio of means."
        " Holds: all of it lies above the paper's figure; does not hold: below. One test, so not"
        " corrected.",
    )


def _ends(interval: Interval) -> str:
    return f"{signed(interval.low)} to {signed(interval.high)}"


def _percent(part: float) -> str:
    return f"{100 * part:+.1f}%".replace("-", "\N{MINUS SIGN}")
