"""The demo: a planted world, learned from its pixels and words, beside what can be known of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mgrec.configs import shown_in
from mgrec.data.bayes import BayesRanker
from mgrec.data.dataset import Dataset
from mgrec.data.splits import Split
from mgrec.data.worlds import World, make_world
from mgrec.measure.evaluation import Evaluation, measure
from mgrec.progress import say
from mgrec.recipe import Recipe
from mgrec.recommender import Recommender
from mgrec.study.parts import Kind, Row
from mgrec.study.report import write_report
from mgrec.study.results import fit_baselines, measure_all, protocol
from mgrec.study.summary import summary
from mgrec.study.table import Table
from mgrec.titles import titles

RARE = "rare"  # the slice on which the ceilings are judged: elsewhere any model can memorise
SHOWN = 10  # users whose recommendations are printed


def run_demo(out: Path, *, seed: int = 0, repurchase: float = 0.0) -> Table:
    """Run the whole path on a planted world: data, artifact and page under one folder.

    Every user has a favourite topic, which only descriptions tell, and a favourite look, which
    only pictures tell. Rankers that know the planted rules, and see both or one of the two, are
    the ceilings.
    """
    say("a planted world: topics are told by descriptions only, looks by pictures only")
    world = make_world(seed, repurchase=repurchase)
    data = Dataset.read(world.write(out / "world"))
    recipe = Recipe.named("demo").override([f"seed={seed}"])
    made = Recommender.fit(data, recipe, out=out / "run", replace=True)
    singles = {
        modality: Recommender.fit(data, single(recipe, modality)) for modality in ("text", "image")
    }
    parts = made.split()
    found: dict[tuple[str, Kind], Evaluation] = {(recipe.name, "model"): made.evaluate()}
    for modality, one in singles.items():
        found[f"{modality} alone", "model"] = one.evaluate()
    fitted = fit_baselines(made, parts, trained=True)
    for name, evaluation in measure_all(fitted, made, parts).items():
        found[name, "baseline"] = evaluation
    for name, evaluation in ceilings(world, made, parts).items():
        found[name, "ceiling"] = evaluation

    rows = [
        Row(name, kind, evaluation.metrics, beside={"R@10 rare": rare(evaluation)})
        for (name, kind), evaluation in found.items()
    ]
    measured = {name: evaluation for (name, _), evaluation in found.items()}
    words = verdict(measured, recipe.name)
    page = summary(made, parts, rows, measured, words, title="A planted world, learned")
    write_report(out / "report.html", page)
    listed = recommendations(made, parts)
    where = f"Report: {out / 'report.html'}   Artifact: {out / 'run'}"
    serve = f"See it live: mgrec serve {out / 'run'} --pictures {out / 'world'}"
    return Table(tuple(rows), protocol(made, False), (words, "", *listed, "", where, serve))


def single(recipe: Recipe, modality: str) -> Recipe:
    """Return a recipe for one modality alone, all else equal."""
    experts = [v for v in recipe.model.experts.views if shown_in(v) in (None, modality)]
    return recipe.override(
        [
            f"name={modality}",
            "ids.fusion=unimodal",
            f"ids.modalities=[{modality}]",
            "ids.interleaved=false",
            f"model.experts.views={experts}",
        ]
    )


def ceilings(world: World, made: Recommender, parts: Split) -> dict[str, Evaluation]:
    """Measure the rankers that know the planted rules, and every training user's taste.

    Told the log, a ranker of one modality is the bound of what memory can add to it as well.
    """
    users, items = made.users.ids, made.catalogue.items["item_id"]
    rankers = {
        "Bayes: text and image": BayesRanker(world, ("text", "image"), parts.train),
        "Bayes: text alone": BayesRanker(world, ("text",), parts.train),
        "Bayes: image alone": BayesRanker(world, ("image",), parts.train),
    }
    found = {name: ranker.top(parts.test.history, 20) for name, ranker in rankers.items()}
    present = made.catalogue.present()
    return {name: measure(top, parts, users, items, present) for name, top in found.items()}


def rare(found: Evaluation) -> str:
    """Return Recall@10 on targets that training saw at most twice."""
    return f"{found.sliced(RARE)['Recall@10'].value:.4f}" if RARE in found.slices else ""


def verdict(measured: dict[str, Evaluation], name: str) -> str:
    """Say what the world shows."""
    both, text, image = (
        float(np.mean(hits(measured[key]))) for key in (name, "text alone", "image alone")
    )
    ceiling = float(np.mean(hits(measured["Bayes: text and image"])))
    return (
        "Topics are visible in descriptions only and looks in pictures only. On targets that"
        f" training saw at most twice, which nobody can memorise, {name} reaches a Recall@10 of"
        f" {both:.3f}: {both / ceiling:.0%} of what knowing the rules gives ({ceiling:.3f})."
        f" The same model on text alone reaches {text:.3f}, on pictures alone {image:.3f}."
    )


def hits(found: Evaluation) -> np.ndarray:
    """Return bool [rare cases]: whether the target is among the ten."""
    ranks = found.ranks[found.slices[RARE]]
    return (ranks >= 0) & (ranks < 10)


def recommendations(made: Recommender, parts: Split) -> list[str]:
    """Return ten users' recommendations, a line each."""
    cases = np.unique(np.linspace(0, len(parts.test) - 1, SHOWN).astype(np.int64))
    found = made.top(parts.test.history.select(cases), 5)
    ids, items = made.users.ids, made.catalogue.items
    lines = ["Five recommendations for each of ten users (* is what came next)"]
    for case, row in zip(cases.tolist(), found, strict=True):
        user = ids[int(parts.test.users[case])]
        target = int(parts.test.targets[case])
        names = titles(items, row.tolist(), 24)
        marked = [
            f"{name}{'*' if item == target else ''}" for name, item in zip(names, row, strict=True)
        ]
        lines.append(f"  {user}: " + ", ".join(marked))
    return lines
