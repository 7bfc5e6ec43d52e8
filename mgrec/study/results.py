"""Measured rankers as rows of a table: the model, its baselines, paired tests between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from mgrec.data.splits import Split
from mgrec.errors import RequestError
from mgrec.measure.evaluation import Evaluation, measure
from mgrec.measure.intervals import Paired
from mgrec.measure.metrics import LISTED
from mgrec.measure.ranker import Ranker
from mgrec.model.sasrec import fit_sasrec
from mgrec.recommender import Recommender
from mgrec.study.baselines import ItemKNN, Popularity, linear, looked_at
from mgrec.study.contributions import contributions
from mgrec.study.ground import stated
from mgrec.study.parts import Kind, Row
from mgrec.study.table import Table


def protocol(made: Recommender, exclude_seen: bool) -> str:
    """Say in one sentence how figures were measured."""
    chosen = len(made.split().validation) > 0
    return stated(made.recipe.split.kind, made.catalogue.n_items, exclude_seen, chosen)


def row(name: str, kind: Kind, found: Evaluation, seen_out: Evaluation | None = None) -> Row:
    """Return an evaluation as a line of the table; one with seen items left out stands beside."""
    if seen_out is None:
        return Row(name, kind, found.metrics)
    further = {f"{metric} seen out": value for metric, value in seen_out.metrics.items()}
    recall, ndcg = seen_out.metrics["Recall@10"], seen_out.metrics["NDCG@10"]
    beside = {
        "R@10 seen out": f"{recall.value:.4f}",
        "N@10 seen out": f"{ndcg.value:.4f} [{ndcg.low:.4f}, {ndcg.high:.4f}]",
    }
    return Row(name, kind, {**found.metrics, **further}, beside=beside)


def fit_baselines(made: Recommender, parts: Split, *, trained: bool) -> dict[str, Ranker]:
    """Fit the baselines on the same split.

    Parameters
    ----------
    trained : whether a linear model and SASRec are among them; the latter takes about as long as
        the model
    """
    n, vectors = made.catalogue.n_items, made.catalogue.vectors
    found: dict[str, Ranker] = {"popularity": Popularity.fit(parts.train, n)}
    for name, modalities in looked_at(vectors).items():
        # A control's vectors are those of other items.
        mixed = set(made.recipe.content.shuffle).intersection(modalities)
        label = f"{name}, {' and '.join(sorted(mixed))} shuffled" if mixed else name
        found[f"item-kNN on {label}"] = ItemKNN.fit(*(vectors[m] for m in modalities))
    if trained:
        found["linear"] = linear(parts.train, n)
        recipe = made.recipe  # on the CPU, as no other device need be where an artifact is measured
        config = recipe.training.model_copy(update={"device": "cpu"})
        found["SASRec"] = fit_sasrec(
            parts.train,
            parts.validation,
            n,
            config,
            recipe.seed,
            history=recipe.model.history,
        ).model
    return found


def measure_all(
    rankers: Mapping[str, Ranker], made: Recommender, parts: Split, exclude_seen: bool = False
) -> dict[str, Evaluation]:
    """Measure rankers on the test cases of a recommender's split."""
    users, items = made.users.ids, made.catalogue.items["item_id"]
    found = {
        name: ranker.top(parts.test.history, LISTED, exclude_seen)
        for name, ranker in rankers.items()
    }
    present = made.catalogue.present()
    return {name: measure(top, parts, users, items, present) for name, top in found.items()}


def evaluation_table(
    made: Recommender,
    other: Recommender | None = None,
    *,
    baselines_too: bool = False,
    contributions_too: bool = False,
    protocols: Sequence[bool] = (False,),
) -> Table:
    """Measure a recommender, and what it is to be compared with, on its test cases.

    Parameters
    ----------
    protocols : whether items of a user's history are left out; of (False, True), the second stands
        in columns beside the first, which slices and paired tests are of
    """
    if other is not None and not _comparable(made, other):
        raise RequestError(
            "evaluate: the other run has other items or users, expected one on the same data"
        )
    own, parts = made.recipe.name, made.split()
    ours = [made.evaluate(exclude_seen=seen) for seen in protocols]
    rows, notes = [row(own, "model", *ours)], sliced(ours[0])

    def add(
        kind: Kind,
        found: Callable[[bool], Mapping[str, Evaluation]],
        tested: Sequence[str | None] = (None,),
    ) -> None:
        """Append a row a ranker, and its paired tests."""
        each = [found(seen) for seen in protocols]
        for name in each[0]:
            theirs = [evaluations[name] for evaluations in each]
            rows.append(row(name, kind, *theirs))
            notes.extend(compared(f"minus {name}", ours[0], theirs[0], part) for part in tested)

    if other is not None:
        second = other.recipe.name + (" (other)" if other.recipe.name == own else "")
        tested = (None, *(part for part in ("tail", "rare") if part in ours[0].slices))
        add("model", lambda seen: {second: other.evaluate(exclude_seen=seen)}, tested)
    if contributions_too:
        add("model", lambda seen: dict(contributions(made, exclude_seen=seen)))
    if baselines_too:
        fitted = fit_baselines(made, parts, trained=True)
        add("baseline", lambda seen: measure_all(fitted, made, parts, seen))
    if len(rows) > 2:
        notes.append("Each p is of its own test, not corrected for the number of tests.")
    if len(rows) > 1:
        notes.append(
            "Tests are over users, of these runs as they are: they do not tell what another seed"
            " would show."
        )
    words = protocol(made, protocols[0])
    if len(protocols) > 1:
        words += " Columns 'seen out': items of a user's history left out; slices and tests: not."
    return Table(tuple(rows), words, tuple(notes))


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
    """Return a paired test in words; p is of this test alone, not corrected for others."""
    test = ours.against(theirs, "NDCG@10", part)
    where = "all cases" if part is None else f"slice {part}"
    return f"NDCG@10 {name}, {where}: {_difference(test)}"


def _difference(test: Paired) -> str:
    d = test.difference
    return f"{d.value:+.4f} [{d.low:+.4f}, {d.high:+.4f}], p = {test.p:.4f}, {test.users:,} users"
