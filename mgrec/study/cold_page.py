"""The cold-start protocol in words and tables: for a terminal, a machine and a page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mgrec.errors import MissingExtra
from mgrec.folders import new_file
from mgrec.measure.intervals import paired
from mgrec.measure.metrics import metric, with_intervals
from mgrec.progress import say
from mgrec.study.card import card
from mgrec.study.cold import Cold, Way
from mgrec.study.markdown import markdown
from mgrec.study.parts import Curve, Results, Row, Section, Summary
from mgrec.study.report import to_json, write_report
from mgrec.study.table import Table

COLUMNS = ("Recall@5", "NDCG@5", "Recall@10", "NDCG@10", "Recall@20", "NDCG@20")
REACHED, TAKEN, SHIFT = "new reached", "places taken", "score shift"


def rows_of(found: Cold) -> tuple[tuple[Row, ...], tuple[Row, ...]]:
    """Return the rows of new items as targets, and those of all others."""
    cold = [
        Row(way.name, "model", with_intervals(way.cold), beside={REACHED: f"{way.reached:.0%}"})
        for way in found.ways
    ]
    cold += [
        Row(f"item-kNN on {name}", "baseline", with_intervals(ranks))
        for name, ranks in found.neighbours.items()
    ]
    warm = [Row("before they came", "model", with_intervals(found.before))]
    warm += [
        Row(
            way.name,
            "model",
            with_intervals(way.warm),
            beside={
                TAKEN: f"{way.taken:.1%}",
                SHIFT: f"{way.shift.mean():+.3f} [{way.shift.min():+.2f}, {way.shift.max():+.2f}]",
            },
        )
        for way in found.ways
    ]
    return tuple(cold), tuple(warm)


def protocol(found: Cold) -> str:
    """Say in a sentence or two how it was measured."""
    cases = len(found.ways[0].cold), len(found.before)
    return (
        f"{found.new:,} of {found.items:,} items ({found.share:.0%}, seed {found.seed}) were taken"
        " out before training, occurrences and all, and added afterwards."
        f" {cases[0]:,} test cases have one of them as target, {cases[1]:,} of the others were"
        " drawn, with histories that hold none of them. Item level, ranked against all"
        f" {found.items:,} items, nothing filtered; 95% bootstrap intervals over users."
    )


def verdict(found: Cold) -> str:
    """Say what became of the new items, and what it cost the others."""
    alone, chosen = found.ways[0], found.ways[-1]
    gain = paired(metric(chosen.cold, "NDCG@10"), metric(alone.cold, "NDCG@10"))
    cost = paired(metric(chosen.warm, "NDCG@10"), metric(found.before, "NDCG@10"))
    recall = [float(metric(way.cold, "Recall@10").mean()) for way in (alone, chosen)]
    return (
        f"Of the items that training never saw, generation alone puts {alone.reached:.0%} among"
        f" anybody's first ten, with a Recall@10 of {recall[0]:.4f} where one of them is what came"
        f" next. Let in with the ratio that validation chose ({found.chosen:g}),"
        f" {chosen.reached:.0%} are reached, with {recall[1]:.4f}"
        f" (NDCG@10 {gain.difference.value:+.4f} [{gain.difference.low:+.4f},"
        f" {gain.difference.high:+.4f}], p = {gain.p:.4f}). By chance Recall@10 would be"
        f" {10 / found.items:.4f}. For the items that were there before, NDCG@10 moved by"
        f" {cost.difference.value:+.4f} [{cost.difference.low:+.4f}, {cost.difference.high:+.4f}]."
    )


def table(found: Cold) -> Table:
    """Return both tables for a terminal."""
    cold, warm = rows_of(found)
    others = Table(warm, "The items that were there before (score shift: mean, least, most).")
    tried = ", ".join(f"{ratio:g}: {value:.4f}" for ratio, value in found.tried.items())
    return Table(
        cold,
        protocol(found),
        ("", others.to_text(), "", f"Validation NDCG@10 by ratio: {tried}", "", verdict(found)),
    )


def document(found: Cold) -> dict[str, Any]:
    """Return every figure for JSON."""
    return {
        "verdict": verdict(found),
        "protocol": protocol(found),
        "new_items": found.new,
        "chosen": found.chosen,
        "validation": [{"ratio": r, "NDCG@10": v} for r, v in found.tried.items()],
        "before": {name: vars(i) for name, i in with_intervals(found.before).items()},
        "ways": [_way(way) for way in found.ways],
        "item-kNN": {
            name: {column: vars(i) for column, i in with_intervals(ranks).items()}
            for name, ranks in found.neighbours.items()
        },
    }


def _way(way: Way) -> dict[str, Any]:
    return {
        "name": way.name,
        "ratio": way.ratio,
        "cold": {name: vars(i) for name, i in with_intervals(way.cold).items()},
        "warm": {name: vars(i) for name, i in with_intervals(way.warm).items()},
        "reached": way.reached,
        "taken": way.taken,
        "shift": {
            "mean": float(way.shift.mean()),
            "least": float(way.shift.min()),
            "most": float(way.shift.max()),
            "mean_absolute": float(np.abs(way.shift).mean()),
        },
    }


def page(found: Cold) -> Summary:
    """Return everything that the report says."""
    cold, warm = rows_of(found)
    recipe = found.made.recipe
    curve = Curve(
        "Validation NDCG@10, all cases",
        "ratio",
        tuple(found.tried),
        tuple(found.tried.values()),
        marked=found.chosen,
    )
    others = Results(
        "The items that were there before",
        "What they lose when new ones come: places taken, and scores moved (mean, least, most).",
        warm,
        COLUMNS,
    )
    choice = Section(
        "How much new items are let in",
        "A new item counts as often as its content, or the items beside it, speak for, times this"
        " ratio (`search.new_items`).",
        curves=(curve,),
    )
    return Summary(
        title=f"{recipe.name}: items that training never saw",
        verdict=verdict(found),
        facts={"items": found.items, "of them new": found.new},
        results=cold,
        columns=COLUMNS,
        protocol=protocol(found),
        more=(others,),
        sections=(choice,),
        recipe=recipe.to_yaml(),
        card=card(
            recipes=recipe.name,
            seeds=f"{recipe.seed}; of the draw {found.seed}",
            fingerprint=found.fingerprint,
            protocol=protocol(found),
        ),
    )


def publish(found: Cold, folder: Path) -> None:
    """Write report.md, report.json and, where Jinja2 is installed, report.html."""
    summary = page(found)
    texts = {"report.md": markdown(summary), "report.json": to_json(document(found))}
    for name, text in texts.items():
        with new_file(folder / name) as draft:
            draft.write_text(text + "\n", "utf-8")
    try:
        write_report(folder / "report.html", summary)
    except MissingExtra as missing:
        say(f"no report page: {missing}")
