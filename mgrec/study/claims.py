"""The paper's ordinal claims (arXiv 2503.23333), each with a paired test and a verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mgrec.measure.intervals import Interval, holm, paired, ratio
from mgrec.measure.metrics import metric
from mgrec.study.members import HEADLINE, LEVEL, Member
from mgrec.study.outcomes import Outcome
from mgrec.study.overlap import K, listed
from mgrec.study.studies import (
    EARLY,
    IMAGE,
    LATE,
    SHUFFLED,
    TEXT,
    TO_IMAGE,
    TO_TEXT,
    UNALIGNED,
    UNMARKED,
    WHOLE,
    Variant,
)

Answer = Literal["holds", "does not hold", "undecided", "not tested"]
Rows = Mapping[Variant, Member]
Users = NDArray[np.float64]  # [seeds, cases]

PROMISED = 0.20  # the paper: "over 20%" above the better single modality
OVERLAP = f"overlap of the first {K}"


@dataclass(frozen=True)
class Claim:
    """That one row scores above another; above the best one, where there are several."""

    words: str
    better: Variant
    than: tuple[Variant, ...]


CLAIMS = (
    Claim("late++ is better than late fusion", WHOLE, (LATE,)),
    Claim("late++ is better than early fusion", WHOLE, (EARLY,)),
    Claim("late++ is better than the better single modality", WHOLE, (TEXT, IMAGE)),
    Claim("alignment helps", WHOLE, (UNALIGNED,)),
    Claim("transition tokens help", WHOLE, (UNMARKED,)),
    Claim("the text's block alone is an easier target than both", TO_TEXT, (WHOLE,)),
    Claim("the image's block alone is an easier target than both", TO_IMAGE, (WHOLE,)),
)
DOMINANCE = "early fusion recommends what the text does more than what the image does"
CONTROL = "what the images show counts"


@dataclass(frozen=True)
class Verdict:
    """One claim after its test.

    Attributes
    ----------
    claim, rows : in words, and which rows were subtracted
    answer : *holds* and *does not hold* where the corrected p is below .05 and the difference is
        above or below zero, with every seed; *undecided* where it is not; *not tested* where a row
        is lacking
    difference, p : of the paired test over users, each user's values averaged over the seeds that
        both rows have; None where not tested
    corrected : by Holm, over the claims that were tested together
    by_seed : the difference with each of those seeds alone
    measure : what was compared
    note : what else there is to say, such as why it was not tested
    """

    claim: str
    rows: str
    answer: Answer = "not tested"
    difference: Interval | None = None
    p: float | None = None
    corrected: float | None = None
    by_seed: tuple[float, ...] = ()
    measure: str = HEADLINE
    note: str = ""


@dataclass(frozen=True)
class Gain:
    """The paper's headline: a relative gain, beside `PROMISED`; one test, and so not corrected."""

    rows: str
    value: Interval
    answer: Answer
    seeds: int


@dataclass(frozen=True)
class Judged:
    """Everything that the paper claims of one strategy, judged.

    Attributes
    ----------
    base : the row that is called late++ in the claims
    verdicts : the claims, corrected together
    control : with images shuffled, over all cases and over tail items; corrected together
    gain : None where a row is lacking
    """

    base: str
    verdicts: tuple[Verdict, ...]
    control: tuple[Verdict, ...] = ()
    gain: Gain | None = None


def judge(
    base: str,
    rows: Rows,
    tail: NDArray[np.bool_] | None = None,
    lacking: Mapping[Variant, str] | None = None,
) -> Judged:
    """Test the claims on the rows that there are; nothing filtered.

    Parameters
    ----------
    base : name of the strategy that is judged
    rows : by what they are of the base; each with at least one outcome
    tail : bool [cases], whose target is outside of the most popular fifth of items
    lacking : why a row is not there
    """
    lacking = lacking or {}
    verdicts = [_compared(claim, rows, lacking) for claim in CLAIMS]
    verdicts.append(_followed(rows, lacking))
    whole = Claim(CONTROL, WHOLE, (SHUFFLED,))
    control = [_compared(whole, rows, lacking)]
    if tail is not None and tail.any():
        control.append(_compared(replace(whole, words=f"{CONTROL}, tail items"), rows, {}, tail))
    return Judged(
        base,
        _corrected(verdicts),
        _corrected(control) if SHUFFLED in rows and WHOLE in rows else (),
        _gain(rows),
    )


def _compared(
    claim: Claim, rows: Rows, lacking: Mapping[Variant, str], part: NDArray[np.bool_] | None = None
) -> Verdict:
    """Test one row against another, or against the one that scores highest."""
    missing = _missing((claim.better, *claim.than), rows, lacking)
    if missing:
        return Verdict(claim.words, "", note=missing)
    better = rows[claim.better]
    than = max((rows[v] for v in claim.than), key=_score)
    seeds = _common(better, than)
    named = f"{better.name} minus {than.name}"
    if not seeds:
        return Verdict(claim.words, named, note="the rows have no seed in common")
    ours, theirs = (_users(member, seeds) for member in (better, than))
    if part is not None:
        ours, theirs = ours[:, part], theirs[:, part]
    note = f"{than.name} is the better one here" if len(claim.than) > 1 else ""
    return _tested(claim.words, named, ours, theirs, HEADLINE, note)


def _followed(rows: Rows, lacking: Mapping[Variant, str]) -> Verdict:
    """Test whose recommendations early fusion's are more like."""
    missing = _missing((EARLY, TEXT, IMAGE), rows, lacking)
    if missing:
        return Verdict(DOMINANCE, "", measure=OVERLAP, note=missing)
    early, text, image = rows[EARLY], rows[TEXT], rows[IMAGE]
    seeds = _common(early, text, image)
    named = f"with {text.name} minus with {image.name}, of {early.name}"
    three = (early, text, image)
    kept = [seed for seed in seeds if all(False in m.outcomes[seed].lists for m in three)]
    if not kept:
        why = "their lists were not kept" if seeds else "the rows have no seed in common"
        return Verdict(DOMINANCE, named, measure=OVERLAP, note=why)
    with_text, with_image = (
        np.stack([listed(*(_lists(m, seed) for m in (early, other))) for seed in kept])
        for other in (text, image)
    )
    note = f"{with_text.mean():.3f} with {text.name}, {with_image.mean():.3f} with {image.name}"
    return _tested(DOMINANCE, named, with_text, with_image, OVERLAP, note)


def _tested(claim: str, rows: str, ours: Users, theirs: Users, measure: str, note: str) -> Verdict:
    test = paired(ours.mean(0), theirs.mean(0))
    by_seed = tuple((ours - theirs).mean(1).tolist())
    return Verdict(claim, rows, "undecided", test.difference, test.p, None, by_seed, measure, note)


def _corrected(verdicts: Sequence[Verdict]) -> tuple[Verdict, ...]:
    """Correct the tests of some claims together, and answer them."""
    tested = [verdict for verdict in verdicts if verdict.p is not None]
    values = iter(holm([verdict.p for verdict in tested if verdict.p is not None]))
    return tuple(
        verdict if verdict.p is None else _answered(verdict, next(values)) for verdict in verdicts
    )


def _answered(verdict: Verdict, corrected: float) -> Verdict:
    answer: Answer = "undecided"
    if corrected < LEVEL and all(found > 0 for found in verdict.by_seed):
        answer = "holds"
    elif corrected < LEVEL and all(found < 0 for found in verdict.by_seed):
        answer = "does not hold"
    return replace(verdict, answer=answer, corrected=corrected)


def _gain(rows: Rows) -> Gain | None:
    if not all(variant in rows for variant in (WHOLE, TEXT, IMAGE)):
        return None
    ours, than = rows[WHOLE], max((rows[TEXT], rows[IMAGE]), key=_score)
    seeds = _common(ours, than)
    if not seeds:
        return None
    upper, lower = _users(ours, seeds), _users(than, seeds)
    times = ratio(upper.mean(0), lower.mean(0))
    value = Interval(times.value - 1, times.low - 1, times.high - 1)
    over = upper.mean(1) > (1 + PROMISED) * lower.mean(1)  # [seeds]
    answer: Answer = "undecided"
    if value.low > PROMISED and over.all():
        answer = "holds"
    elif value.high < PROMISED and not over.any():
        answer = "does not hold"
    return Gain(f"{ours.name} over {than.name}", value, answer, len(seeds))


def _missing(wanted: Sequence[Variant], rows: Rows, lacking: Mapping[Variant, str]) -> str:
    found = [v for v in wanted if v not in rows]
    return "; ".join(f"{v.name or 'late++'}: {lacking.get(v, 'not in the grid')}" for v in found)


def _common(*members: Member) -> list[int | None]:
    """Return the seeds that all have, so that chance enters both sides alike."""
    first, *others = ([s for s, o in m.outcomes.items() if False in o.ranks] for m in members)
    return [seed for seed in first if all(seed in other for other in others)]


def _score(member: Member) -> float:
    return float(_users(member, _common(member)).mean())


def _users(member: Member, seeds: Sequence[int | None]) -> Users:
    """Return every user's metric with each of the seeds."""
    return np.stack([metric(member.outcomes[seed].ranks[False], HEADLINE) for seed in seeds])


def _lists(member: Member, seed: int | None) -> NDArray[np.int32]:
    outcome: Outcome = member.outcomes[seed]
    return outcome.lists[False]
