"""A run's report: what a recommender has to show, gathered for the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mgrec.data.splits import Split
from mgrec.errors import MissingExtra
from mgrec.ids.semantic_ids import SemanticIds
from mgrec.measure.evaluation import Evaluation
from mgrec.measure.intervals import Interval
from mgrec.measure.slices import MEANING
from mgrec.progress import say
from mgrec.recommender import Recommender
from mgrec.study.card import card
from mgrec.study.described import made_with
from mgrec.study.parts import (
    Block,
    Codebook,
    Curve,
    Item,
    Row,
    Section,
    SliceRow,
    Slices,
    Suggestion,
    Summary,
    User,
)
from mgrec.study.published import published
from mgrec.study.report import write_report
from mgrec.study.results import compared, fit_baselines, measure_all, protocol, row
from mgrec.study.table import SHOWN, Table
from mgrec.titles import description, titles

USERS, HISTORY = 10, 12  # shown on the page


def report_run(made: Recommender, path: Path, dataset: str | None = None) -> Table:
    """Measure a run beside the cheap baselines, write its page, and return its table.

    Parameters
    ----------
    dataset : one that papers share, for their figures beside ours
    """
    parts = made.split()
    rows: tuple[Row, ...] = ()
    if not len(parts.test):
        page = summary(made, parts, rows, {}, "Nothing was held out of training.")
        _write(path, page)
        return Table(rows, "Nothing was held out, so nothing was measured.")
    if made.knows_tests:
        tested = made.facts.get("test")
        if tested is None:
            words = "All test cases had been seen before, so nothing was measured."
        else:
            note = "before it was trained on everything" if made.final else "on new cases only"
            words = f"Measured {note}: its weights have seen test cases."
            kept = {name: Interval(**value) for name, value in tested["metrics"].items()}
            rows = (Row(made.recipe.name, "model", kept, note),)
        _write(path, summary(made, parts, rows, {}, words))
        return Table(rows, protocol(made, False), (words,))
    ours = made.tested or made.evaluate()
    found = measure_all(fit_baselines(made, parts, trained=False), made, parts)
    rows = (
        row(made.recipe.name, "model", ours),
        *(row(name, "baseline", evaluation) for name, evaluation in found.items()),
    )
    notes = [compared(f"minus {name}", ours, theirs) for name, theirs in found.items()]
    measured = {made.recipe.name: ours, **found}
    page = summary(made, parts, rows, measured, verdict(made, ours, found))
    if dataset is not None:
        page = replace(page, sections=(_published(dataset, made, ours),))
    _write(path, page)
    return Table(rows, protocol(made, False), tuple(notes))


def _published(dataset: str, made: Recommender, ours: Evaluation) -> Section:
    figures = [ours.metrics[name].value for name in ("NDCG@10", "Recall@10")]
    encoders = [f"{m}: {one.name}" for m, one in made.catalogue.encoders.items()]
    how = made_with(made.recipe, "; ".join(encoders) or "ready-made content")
    return published(dataset, [(made.recipe.name, figures[0], figures[1], how)])


def _write(path: Path, page: Summary) -> None:
    """Write the page; a run that lacks its packages still ends with its table."""
    try:
        write_report(path, page)
        say(f"report: {path}")
    except MissingExtra as missing:
        say(f"no report page: {missing}")


def verdict(made: Recommender, ours: Evaluation, others: dict[str, Evaluation]) -> str:
    """Say in a paragraph what the table shows."""
    hits = ours.metrics["Recall@10"]
    name, best = max(others.items(), key=lambda pair: pair[1].metrics["NDCG@10"].value)
    test = ours.against(best)
    told = "better than" if test.difference.value > 0 else "worse than"
    if test.p >= 0.05:
        told = "not clearly different from"
    return (
        f"Asked for ten of {made.catalogue.n_items:,} items, the model names the one that a user"
        f" took next in {hits.value:.1%} of {len(ours.ranks):,} test cases"
        f" (95% interval {hits.low:.1%} to {hits.high:.1%}). By NDCG@10 it is {told} the best of"
        f" the simple baselines here, {name} (p = {test.p:.4f})."
    )


def summary(
    made: Recommender,
    parts: Split,
    rows: Sequence[Row],
    measured: dict[str, Evaluation],
    words: str,
    title: str = "",
) -> Summary:
    """Gather everything for the page.

    Parameters
    ----------
    rows : lines of the table
    measured : evaluations by the name of their row, for the slices
    words : the verdict
    """
    lengths = made.users.log.lengths
    return Summary(
        title=title or f"{made.recipe.name} on {made.catalogue.n_items:,} items",
        verdict=words,
        facts={
            "items": made.catalogue.n_items,
            "users": len(made.users.ids),
            "interactions": len(made.users.log.items),
            "median history": int(np.median(lengths)) if len(lengths) else 0,
            **{
                f"items with {name}": int(has.sum())
                for name, has in made.catalogue.present().items()
            },
            "parameters": made.facts.get("parameters", 0),
        },
        results=tuple(rows),
        columns=SHOWN,
        protocol=protocol(made, False) if len(parts.test) else "",
        slices=_slices(measured),
        codebooks=tuple(_codebooks(made)),
        curves=tuple(_curves(made)),
        users=tuple(_users(made, parts)) if len(parts.test) and not made.knows_tests else (),
        warnings=tuple(made.facts.get("notes", ())),
        score="log probability" if made.model.experts is None else "weighted log probabilities",
        recipe=made.recipe.to_yaml(),
        card=_card(made, len(parts.test) > 0),
        order=made.facts.get("order", ""),
    )


def _card(made: Recommender, tested: bool) -> dict[str, str]:
    encoders = made.catalogue.encoders.items()
    return card(
        recipes=made.recipe.name,
        seeds=str(made.recipe.seed),
        fingerprint=made.fingerprint,
        protocol=protocol(made, False) if tested else "nothing was held out",
        more={f"encoder of {name}": f"{one.name} {one.revision}" for name, one in encoders},
    )


def _slices(measured: dict[str, Evaluation]) -> tuple[Slices, ...]:
    if not measured:
        return ()
    first = next(iter(measured.values()))
    rows = []
    for part, mask in first.slices.items():
        values = {
            name: found.sliced(part)["Recall@10"]
            for name, found in measured.items()
            if part in found.slices  # a model of one modality does not know what another lacks
        }
        rows.append(SliceRow(part, MEANING.get(part, ""), int(mask.sum()), values))
    return (Slices("Recall@10", tuple(rows)),)


def _codebooks(made: Recommender) -> list[Codebook]:
    books = []
    for name, codes in made.catalogue.codes.items():
        sentences = made.catalogue.health_of(name)
        for level, size in enumerate(codes.sizes):
            usage = np.bincount(codes.codes[codes.present, level], minlength=size)
            books.append(
                Codebook(f"{name}, level {level + 1}", sentences[level], tuple(usage.tolist()))
            )
    return books


def _curves(made: Recommender) -> list[Curve]:
    curve = made.facts.get("training", {}).get("curve", [])
    lines = []
    for key, title in (("NDCG@10", "NDCG@10 on validation"), ("loss", "Loss in training")):
        points = [(entry["epoch"], entry[key]) for entry in curve if key in entry]
        if len(points) > 1:
            x, y = zip(*points, strict=True)
            best = float(made.facts["training"]["epochs"]) if key == "NDCG@10" else None
            lines.append(Curve(title, "epoch", x, y, marked=best))
    return lines


def _users(made: Recommender, parts: Split) -> list[User]:
    """Show a few test users, spread over the log: history, suggestions, what came next."""
    cases = parts.test
    rows = np.unique(np.linspace(0, len(cases) - 1, USERS).astype(np.int64))
    found, scores = made.rank(cases.history.select(rows), 10)
    shown = []
    for place, case in enumerate(rows.tolist()):
        target = int(cases.targets[case])
        suggestions = tuple(
            Suggestion(_item(made, int(item)), float(score), hit=int(item) == target)
            for item, score in zip(found[place], scores[place], strict=True)
            if item >= 0
        )
        history = tuple(_item(made, int(item)) for item in cases.history[case][-HISTORY:])
        left = len(cases.history[case]) - len(history)
        shown.append(
            User(
                str(made.users.ids[int(cases.users[case])]),
                history,
                suggestions,
                _item(made, target),
                f"{left} earlier items are not shown" if left else "",
            )
        )
    return shown


def _item(made: Recommender, item: int) -> Item:
    items, root = made.catalogue.items, made.catalogue.root
    picture = items["image"][item] if "image" in items.columns and root is not None else None
    return Item(
        item_id=str(items["item_id"][item]),
        title=titles(items, [item], 80)[0],
        text=description(items, item),
        picture=None if picture is None or root is None else root / picture,
        semantic_id=blocks(made.catalogue.ids, item),
    )


def blocks(ids: SemanticIds, item: int) -> tuple[Block, ...]:
    """Return one item's ID as blocks of codes, the disambiguation code last."""
    found: dict[str, list[int]] = {}
    tokens: NDArray[np.int32] = ids.tokens[item]
    for slot, token in zip(ids.slots, tokens.tolist(), strict=True):
        if slot.kind != "transition":
            found.setdefault(slot.modality or "own", []).append(token - slot.first)
    return tuple(Block(name, tuple(codes)) for name, codes in found.items())
