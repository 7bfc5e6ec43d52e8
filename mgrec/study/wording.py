"""A comparison in words: what its tables show."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from mgrec.measure.intervals import Interval
from mgrec.measure.noise import Noise
from mgrec.study.claims import Answer, Judged
from mgrec.study.comparison import Comparison, Line, Standing
from mgrec.study.described import joined
from mgrec.study.members import HEADLINE

IDEA = (
    "Every item gets a short code made from its text, its picture or both, so that like items have"
    " like codes; a model reads the codes of what a user took and writes the code of what comes"
    " next. The strategies differ in how text and picture become one code."
)
_WORDS: Mapping[Answer, tuple[str, str]] = {  # of one claim, of several
    "holds": ("holds", "hold"),
    "does not hold": ("does not hold", "do not hold"),
    "undecided": ("is undecided", "are undecided"),
    "not tested": ("is not tested", "are not tested"),
}


def verdict(comparison: Comparison) -> str:
    """Return the answer in a paragraph: what the reference is better than, and what not."""
    if not comparison.standings or not comparison.standings[0].lines:
        return "No run is done yet."
    first = comparison.standings[0]
    ours = next((line for line in first.lines if line.name == comparison.reference), None)
    if ours is None:
        if not comparison.reference:
            return "No recipe applies to the data, so nothing is tested."
        return f"No run of {comparison.reference} is done yet, so nothing is tested."
    others = [line for line in first.lines if line.test is not None]
    answer = _answer(ours, [line for line in others if line.headline])
    if others and not first.noise.known:
        answer += " No row has two seeds: another seed may show otherwise."
    answer += "".join(f" {claims(found)}" for found in comparison.claims)
    best = max(first.lines, key=lambda line: line.metrics[HEADLINE].value)
    answer += f" The highest {HEADLINE} here is {best.metrics[HEADLINE].value:.4f}, of {best.name}."
    if comparison.waiting:
        runs = len(comparison.waiting)
        answer += f" Not done yet: {runs} run{'' if runs == 1 else 's'}, so this may change."
    return answer


def claims(judged: Judged) -> str:
    """Say in a sentence how many of the paper's claims hold."""
    answers = [verdict.answer for verdict in judged.verdicts]
    counts = [(answers.count(answer), answer) for answer in _WORDS]
    listed = joined([f"{n} {_WORDS[answer][n > 1]}" for n, answer in counts if n])
    return f"Of the paper's {len(answers)} claims, judged of {judged.base}, {listed}."


def _answer(ours: Line, others: Sequence[Line]) -> str:
    """Say what the reference is better than, worse than, and not told apart from."""
    value = ours.metrics[HEADLINE].value
    parts = []
    # A test is of the other row minus ours.
    for verdict, words in (("worse", "better than"), ("better", "worse than")):
        told = [line for line in others if line.test and line.test.verdict == verdict]
        if told:
            parts.append(f"{words} {joined([_by(line) for line in told])}")
    same = [line for line in others if line.test and line.test.verdict == "not told apart"]
    if same:
        parts.append(f"not told apart from {joined([_p(line) for line in same])}")
    if not parts:
        return f"On this data, {ours.name} reaches {HEADLINE} {value:.4f}."
    return f"On this data, {ours.name} ({HEADLINE} {value:.4f}) is {'; '.join(parts)}."


def _by(line: Line) -> str:
    assert line.test is not None
    by = abs(line.test.difference.value)
    return f"{line.name} by {by:.4f} (p {probability(line.test.corrected)})"


def _p(line: Line) -> str:
    assert line.test is not None
    return f"{line.name} (p {probability(line.test.corrected)})"


def probability(p: float) -> str:
    """Write a p value with as many digits as it deserves."""
    if p < 0.00005:
        return "< 0.0001"
    return f"{p:.4f}" if p < 0.0995 else f"{p:.2f}"


def method(standing: Standing, reference: str) -> str:
    """Say how the tests of a table were made."""
    tests = sum(line.test is not None for line in standing.lines)
    return (
        f"Differences of {HEADLINE} to {reference}, user by user, each user's metric averaged over"
        f" a row's seeds; p is corrected for the {tests} tests of a table (Holm), and better and"
        f" worse are said below .05. {tested_over(standing.noise)}"
    )


def tested_over(noise: Noise) -> str:
    """Say which chances the tests of a table count."""
    if not noise.known:
        return (
            "No row has two seeds, so that interval and p (random sign flips) are over users alone:"
            " they do not tell what another seed would show."
        )
    return (
        "Interval and p (Student's t) are over users and seeds together. Another seed typically"
        f" moves a row by {noise.deviation:.4f} (standard deviation, pooled over the rows that have"
        f" several; {noise.freedom} degrees of freedom); where both rows of a test have several,"
        " what their own move by is tried too, and the more careful answer stands."
    )


def seeds(line: Line) -> str:
    """Say how many seeds a row has, of how many; nothing where there is no chance in it."""
    if line.cost.parameters is None:
        return ""
    done = len(line.by_seed)
    return str(done) if done == line.wanted else f"{done} of {line.wanted}"


def spread(line: Line) -> str:
    """Write the standard deviation between seeds, and the seeds' own values."""
    if math.isnan(line.spread):
        return ""
    return f"{line.spread:.4f} ({', '.join(f'{value:.4f}' for value in line.by_seed)})"


def duration(seconds: float | None) -> str:
    """Write a time as people say it."""
    if seconds is None:
        return ""
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def percent(found: Interval) -> str:
    """Write a share with the ends of its interval; nothing where there is none."""
    if not math.isfinite(found.value):
        return ""
    # A line may break before the brackets, not within them.
    return f"{found.value:.1%} [{100 * found.low:.1f},\N{NO-BREAK SPACE}{100 * found.high:.1f}]"


def agreement(value: float) -> str:
    """Write an agreement of two groupings; a true minus sign, and none before zero."""
    return f"{round(value, 2) + 0.0:.2f}".replace("-", "\N{MINUS SIGN}")


def share(found: Interval) -> str:
    """Write a share alone."""
    return f"{found.value:.1%}"


def signed(value: float) -> str:
    """Write a difference; a true minus sign, so that columns align, and none before zero."""
    return f"{round(value, 4) + 0.0:+.4f}".replace("-", "\N{MINUS SIGN}")
