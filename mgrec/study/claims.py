"""The paper's ordinal claims (arXiv 2503.23333), each with a test and a verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mgrec.measure.intervals import Interval, Paired, holm
from mgrec.measure.noise import Noise, Scores, difference, from_zero, relative
from mgrec.study.members import HEADLINE, LEVEL, Member
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
        above or below zero; *undecided* where p is not; *not tested* where a row is lacking
    difference, p : over users and seeds (`mgrec.measure.noise.difference`); None where not tested
    corrected : by Holm, over the claims that were tested together
    by_seed : the difference with each of the seeds that both rows have
    noise : between seeds, of what was compared, in the rows that the claims are about
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
    noise: Noise | None = None
    measure: str = HEADLINE
    note: str = ""


@dataclass(frozen=True)
class Gain:
    """The paper's headline: a relative gain, beside `PROMISED`; one test, and so not corrected.

    Attributes
    ----------
    answer : *holds* where the whole interval is above `PROMISED`, *does not hold* where it is below
    by_seed : the gain with each of the seeds that both rows have
    """

    rows: str
    value: Interval
    answer: Answer
    by_seed: tuple[float, ...]


@dataclass(frozen=True)
class Judged:
    """Everything that the paper claims of one strategy, judged.

    Attributes
    ----------
    base : the row that is called late++ in the claims
    verdicts : the claims, corrected together
    noise : between the seeds of the rows, of the headline metric over all cases
    control : with images shuffled, over all cases and over tail items; corrected together
    gain : None where a row is lacking
    """

    base: str
    verdicts: tuple[Verdict, ...]
    noise: Noise
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
    everywhere = _Table.of(rows)
    verdicts = [_compared(claim, everywhere, lacking) for claim in CLAIMS]
    verdicts.append(_followed(rows, lacking))
    whole = Claim(CONTROL, WHOLE, (SHUFFLED,))
    control = [_compared(whole, everywhere, lacking)]
    if tail is not None and tail.any():
        rare = replace(whole, words=f"{CONTROL}, tail items")
        control.append(_compared(rare, _Table.of(rows, tail), lacking))
    return Judged(
        base,
        _corrected(verdicts),
        everywhere.noise,
        _corrected(control) if SHUFFLED in rows and WHOLE in rows else (),
        _gain(everywhere),
    )


@dataclass(frozen=True, eq=False)
class _Table:
    """The rows, their scores on some of the cases, and the noise between their seeds there."""

    rows: Rows
    scores: Mapping[Variant, Scores]
    noise: Noise

    @classmethod
    def of(cls, rows: Rows, part: NDArray[np.bool_] | None = None) -> _Table:
        """Measure the rows on a part of the cases; on all by default."""
        scores = {variant: member.scores() for variant, member in rows.items()}
        if part is not None:
            scores = {v: replace(row, values=row.values[:, part]) for v, row in scores.items()}
        once = {rows[variant].name: row for variant, row in scores.items()}
        return cls(rows, scores, Noise.of(once.values()))

    def best(self, variants: Sequence[Variant]) -> Variant:
        """Return the row that scores highest."""
        return max(variants, key=lambda variant: float(self.scores[variant].values.mean()))

    def test(self, ours: Variant, theirs: Sequence[Variant]) -> Paired:
        """Test a row against the best of others; p is right for having picked it.

        Above the best one it is above all of them, so that the least certain of these counts. To be
        below one of several is easier by chance, so that p counts as often as there are.
        """
        tests = {v: difference(self.scores[ours], self.scores[v], self.noise) for v in theirs}
        test = tests[self.best(theirs)]
        above = test.difference.value > 0
        p = max(one.p for one in tests.values()) if above else min(1.0, len(tests) * test.p)
        return replace(test, p=p)

    def pairs(self, one: Variant, other: Variant) -> list[tuple[float, float]]:
        """Return both rows' means with each of the seeds that both have."""
        ours, theirs = (
            dict(zip(self.rows[v].ranks(), self.scores[v].by_run, strict=True))
            for v in (one, other)
        )
        return [(ours[seed], theirs[seed]) for seed in ours if seed in theirs]


def _compared(claim: Claim, table: _Table, lacking: Mapping[Variant, str]) -> Verdict:
    """Test one row against another, or against the one that scores highest."""
    missing = _missing((claim.better, *claim.than), table.rows, lacking)
    if missing:
        return Verdict(claim.words, "", note=missing)
    better, than = claim.better, table.best(claim.than)
    ours, theirs = table.rows[better].name, table.rows[than].name
    test = table.test(better, claim.than)
    return Verdict(
        claim.words,
        f"{ours} minus {theirs}",
        "undecided",
        test.difference,
        test.p,
        by_seed=tuple(one - other for one, other in table.pairs(better, than)),
        noise=table.noise,
        note=f"{theirs} is the better one here" if len(claim.than) > 1 else "",
    )


def _followed(rows: Rows, lacking: Mapping[Variant, str]) -> Verdict:
    """Test whose recommendations early fusion's are more like, seed beside seed."""
    missing = _missing((EARLY, TEXT, IMAGE), rows, lacking)
    if missing:
        return Verdict(DOMINANCE, "", measure=OVERLAP, note=missing)
    early, text, image = rows[EARLY], rows[TEXT], rows[IMAGE]
    three = (early, text, image)
    named = f"with {text.name} minus with {image.name}, of {early.name}"
    seeds = [seed for seed in early.outcomes if all(seed in m.outcomes for m in three)]
    kept = [seed for seed in seeds if all(False in m.outcomes[seed].lists for m in three)]
    if not kept:
        why = "their lists were not kept" if seeds else "the rows have no seed in common"
        return Verdict(DOMINANCE, named, measure=OVERLAP, note=why)
    with_text, with_image = (
        np.stack([listed(*(_lists(m, seed) for m in (early, other))) for seed in kept])
        for other in (text, image)
    )
    more = Scores(with_text - with_image)
    test = from_zero(more)
    return Verdict(
        DOMINANCE,
        named,
        "undecided",
        test.difference,
        test.p,
        by_seed=more.by_run,
        noise=Noise.of([more]),
        measure=OVERLAP,
        note=f"{with_text.mean():.3f} with {text.name}, {with_image.mean():.3f} with {image.name}",
    )


def _corrected(verdicts: Sequence[Verdict]) -> tuple[Verdict, ...]:
    """Correct the tests of some claims together, and answer them."""
    tested = [verdict for verdict in verdicts if verdict.p is not None]
    values = iter(holm([verdict.p for verdict in tested if verdict.p is not None]))
    return tuple(
        verdict if verdict.p is None else _answered(verdict, next(values)) for verdict in verdicts
    )


def _answered(verdict: Verdict, corrected: float) -> Verdict:
    assert verdict.difference is not None
    answer: Answer = "undecided"
    if corrected < LEVEL:
        answer = "holds" if verdict.difference.value > 0 else "does not hold"
    return replace(verdict, answer=answer, corrected=corrected)


def _gain(table: _Table) -> Gain | None:
    if not all(variant in table.rows for variant in (WHOLE, TEXT, IMAGE)):
        return None
    than = table.best((TEXT, IMAGE))
    times = relative(table.scores[WHOLE], table.scores[than], table.noise)
    value = Interval(times.value - 1, times.low - 1, times.high - 1)
    answer: Answer = "undecided"
    if value.low > PROMISED:
        answer = "holds"
    elif value.high < PROMISED:
        answer = "does not hold"
    by_seed = tuple(one / other - 1 for one, other in table.pairs(WHOLE, than) if other > 0)
    rows = f"{table.rows[WHOLE].name} over {table.rows[than].name}"
    return Gain(rows, value, answer, by_seed)


def _missing(wanted: Sequence[Variant], rows: Rows, lacking: Mapping[Variant, str]) -> str:
    found = [v for v in wanted if v not in rows]
    return "; ".join(f"{v.name or 'late++'}: {lacking.get(v, 'not in the grid')}" for v in found)


def _lists(member: Member, seed: int | None) -> NDArray[np.int32]:
    return member.outcomes[seed].lists[False]
