"""Measured rankers as rows of a table: the model, its baselines, paired tests between them."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mgrec.data.sequences import Sequences
from mgrec.data.splits import Split
from mgrec.errors import RequestError
from mgrec.measure.evaluation import Evaluation, measure
from mgrec.measure.intervals import Paired
from mgrec.model.sasrec import fit_sasrec
from mgrec.recommender import Recommender
from mgrec.study.baselines import ItemKNN, Popularity, linear
from mgrec.study.contributions import contributions
from mgrec.study.ground import stated
from mgrec.study.parts import Kind, Row
from mgrec.study.table import Table


class Excluding(Protocol):
    """A ranker that can leave out what a history already has."""

    def top(self, history: Sequences, k: int, exclude_seen: bool = False) -> NDArray[np.int64]: ...


def protocol(made: Recommender, exclude_seen: bool) -> str:
    """Say in one sentence how figures were measured."""
    return stated(made.recipe.split.kind, made.catalogue.n_items, exclude_seen)


def row(name: str, kind: Kind, found: Evaluation, note: str = "") -> Row:
    """Return an evaluation as a line of the table."""
    return Row(name, kind, found.metrics, note)


def baselines(
    made: Recommender, parts: Split, *, trained: bool, exclude_seen: bool = False
) -> dict[str, Evaluation]:
    """Measure the baselines on the same split.

    Parameters
    ----------
    trained : whether a linear model and SASRec are among them; the latter takes about as long as
        the model
    """
    n, present = made.catalogue.n_items, made.catalogue.present()
    rankers: dict[str, Excluding] = {"popularity": Popularity.fit(parts.train, n)}
    for name, vectors in made.catalogue.vectors.items():
        rankers[f"item-kNN on {name}"] = ItemKNN.fit(vectors)
    if len(made.catalogue.vectors) > 1:
        rankers["item-kNN on all"] = ItemKNN.fit(*made.catalogue.vectors.values())
    if trained:
        rankers["linear"] = linear(parts.train, n)
        recipe = made.recipe  # on the CPU, as no other device need be where an artifact is measured
        config = recipe.training.model_copy(update={"device": "cpu"})
        rankers["SASRec"] = fit_sasrec(
            parts.train,
            parts.validation,
            n,
            config,
            recipe.seed,
            history=recipe.model.history,
        ).model
    return {
        name: measure(ranker.top(parts.test.history, 20, exclude_seen), parts, n, present)
        for name, ranker in rankers.items()
    }


def evaluation_table(
    made: Recommender,
    other: Recommender | None = None,
    *,
    baselines_too: bool = False,
    contributions_too: bool = False,
    exclude_seen: bool = False,
) -> Table:
    """Measure a recommender, and what it is to be compared with, on its test cases."""
    if other is not None and not _comparable(made, other):
        raise RequestError(
            "evaluate: the other run has other items or users, expected one on the same data"
        )
    parts = made.split()
    ours = made.evaluate(exclude_seen=exclude_seen)
    rows = [row(made.recipe.name, "model", ours)]
    notes = sliced(ours)
    if other is not None:
        theirs = other.evaluate(exclude_seen=exclude_seen)
        name = other.recipe.name + (" (other)" if other.recipe.name == made.recipe.name else "")
        rows.append(row(name, "model", theirs))
        for part in (None, "tail", "rare"):
            if part is None or part in ours.slices:
                notes.append(compared(f"minus {name}", ours, theirs, part))
    if contributions_too:
        parted = dict(contributions(made, exclude_seen=exclude_seen))
        rows += [row(name, "model", evaluation) for name, evaluation in parted.items()]
        notes += [compared(f"minus {name}", ours, theirs) for name, theirs in parted.items()]
    if baselines_too:
        found = baselines(made, parts, trained=True, exclude_seen=exclude_seen)
        rows += [row(name, "baseline", evaluation) for name, evaluation in found.items()]
        notes += [compared(f"minus {name}", ours, theirs) for name, theirs in found.items()]
    return Table(tuple(rows), protocol(made, exclude_seen), tuple(notes))


def _comparable(one: Recommender, other: Recommender) -> bool:
    same_items = one.catalogue.items["item_id"].equals(other.catalogue.items["item_id"])
    return same_items and one.users.ids.equals(other.users.ids)


def sliced(found: Evaluation) -> list[str]:
    """Return a line a slice: its size, Recall@10 and NDCG@10 with intervals."""
    lines = ["", "Slices of the test cases (see docs/evaluation.md)"]
    for name, rows in found.slices.items():
        metrics = found.sliced(name)
        cells = [
            f"{column} {value.value:.4f} [{value.low:.4f}, {value.high:.4f}]"
            for column, value in metrics.items()
        ]
        lines.append(f"  {name:<16} {int(rows.sum()):>7,} cases  " + "  ".join(cells))
    return lines


def compared(name: str, ours: Evaluation, theirs: Evaluation, part: str | None = None) -> str:
    """Return a paired test in words."""
    test = ours.against(theirs, "NDCG@10", part)
    where = "all cases" if part is None else f"slice {part}"
    return f"NDCG@10 {name}, {where}: {_difference(test)}"


def _difference(test: Paired) -> str:
    d = test.difference
    return f"{d.value:+.4f} [{d.low:+.4f}, {d.high:+.4f}], p = {test.p:.4f}, {test.users:,} users"
