"""The runs of a comparison: models and baselines, each trained and measured at most once."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from mgrec.content.encoders import embed
from mgrec.data.features import Embeddings
from mgrec.measure.evaluation import Evaluation
from mgrec.measure.metrics import LISTED, ranks_of
from mgrec.measure.ranker import Ranker
from mgrec.recipe import Recipe
from mgrec.study.baselines import ItemKNN, Popularity, linear, looked_at
from mgrec.study.card import versions
from mgrec.study.grid import Entry, slug
from mgrec.study.ground import Ground
from mgrec.study.outcomes import Cost, Outcome, load, save
from mgrec.study.parts import Kind
from mgrec.study.resumed import fitted
from mgrec.study.tuning import Tuning

BASELINES = ("popularity", "item-knn", "linear", "sasrec")


@dataclass(frozen=True)
class Ranking:
    """A ranker ready to be measured, what it cost, and what it has measured itself."""

    ranker: Ranker
    cost: Cost = field(default_factory=Cost)
    tested: Evaluation | None = None
    notes: str = ""


@dataclass(frozen=True)
class Run:
    """One training of one row.

    Attributes
    ----------
    row, kind : of the table
    seed : None for what has no chance in it
    identity : everything that decides it, as JSON
    train : gives the ranker; called with the run's folder
    """

    row: str
    kind: Kind
    seed: int | None
    identity: Mapping[str, Any]
    train: Callable[[Path], Ranking]

    @property
    def folder(self) -> str:
        name = slug(self.row)
        return name if self.seed is None else f"{name}-{self.seed}"

    def __str__(self) -> str:
        return self.row if self.seed is None else f"{self.row}, seed {self.seed}"


def done(run: Run, place: Path, ground: Ground, protocols: Sequence[bool]) -> Outcome | None:
    """Return the outcome of a run if all of it was done before.

    Raises
    ------
    RequestError, ArtifactError
        If the place holds something else.
    """
    found = load(place / run.folder, run.identity, ground.parts.test)
    return found if found is not None and set(protocols) <= set(found.ranks) else None


def carry_out(run: Run, place: Path, ground: Ground, protocols: Sequence[bool]) -> Outcome:
    """Do what is left of a run: train, measure under every protocol, and keep the outcome."""
    folder, cases = place / run.folder, ground.parts.test
    before = load(folder, run.identity, cases)
    trained = run.train(folder)
    ranks = {} if before is None else dict(before.ranks)
    lists = {} if before is None else dict(before.lists)
    cost = trained.cost if before is None else before.cost
    for exclude_seen in protocols:
        if exclude_seen in ranks:
            continue
        if not exclude_seen and trained.tested is not None:
            ranks[exclude_seen] = trained.tested.ranks
            lists[exclude_seen] = trained.tested.lists
            continue
        begun = time.monotonic()
        top = trained.ranker.top(cases.history, LISTED, exclude_seen)
        rate = len(cases) / max(time.monotonic() - begun, 1e-9)
        ranks[exclude_seen] = ranks_of(top, cases.targets)
        lists[exclude_seen] = top.astype(np.int32)
        if cost.users_per_second is None:
            cost = replace(cost, users_per_second=rate)
    outcome = Outcome(run.identity, ranks, cost, lists, versions(), trained.notes)
    save(folder, outcome, cases)
    return outcome


def model_runs(entry: Entry, ground: Ground) -> list[Run]:
    """Return the runs of a recipe, one a seed."""

    def of(seed: int) -> Run:
        recipe = entry.seeded(seed)
        identity = {
            "recipe": recipe.model_dump(mode="json"),
            "data": ground.data.fingerprint,
        }

        def train(folder: Path) -> Ranking:
            made = fitted(folder, ground.data, recipe)
            seconds = training_seconds(made.facts)
            rate = len(ground.parts.test) / max(made.facts["test_seconds"], 1e-9)
            return Ranking(made, Cost(made.facts["parameters"], seconds, rate), made.tested)

        return Run(entry.name, "model", seed, identity, train)

    return [of(seed) for seed in entry.seeds]


def training_seconds(facts: Mapping[str, Any]) -> float:
    """Return the seconds of all that was trained, solved and listed, from what a run says."""
    teachers = facts.get("teachers", {})
    stages = [facts.get(stage, {}) for stage in ("alignment", "training")] + [teachers]
    apart = [facts.get(stages_of, {}) for stages_of in ("learned", "tables", "experts")]
    for each in (*apart, teachers.get("experts", {})):
        stages += each.values()
    return sum(stage.get("seconds", 0.0) for stage in stages)


def simple_runs(
    wanted: Sequence[str], recipe: Recipe, ground: Ground
) -> tuple[list[Run], dict[str, str]]:
    """Return the baselines that need no training, and why others of them do not apply.

    Parameters
    ----------
    wanted : names out of `BASELINES`
    recipe : whose encoders make embeddings where the data has none
    """
    split = ground.config.model_dump(mode="json")
    common = {"split": split, "data": ground.data.fingerprint}
    runs, absent = [], {}
    if "popularity" in wanted:

        def count(folder: Path) -> Ranking:
            return Ranking(Popularity.fit(ground.parts.train, ground.data.n_items))

        runs.append(
            Run("popularity", "baseline", None, {"baseline": "popularity", **common}, count)
        )
    if "linear" in wanted:

        def solve(folder: Path) -> Ranking:
            return Ranking(linear(ground.parts.train, ground.data.n_items))

        runs.append(Run("linear", "baseline", None, {"baseline": "linear", **common}, solve))
    if "item-knn" in wanted:
        lacking = {m: _lacks(ground, m) for m in ("text", "image", *ground.data.modalities)}
        usable = [m for m, why in lacking.items() if why is None]
        absent = {f"item-kNN on {m}": why for m, why in lacking.items() if why is not None}
        if len(usable) < 2:
            absent["item-kNN on both"] = "it needs embeddings of at least two modalities"
        content = recipe.content.model_dump(mode="json")
        for name, modalities in looked_at(usable).items():
            identity = {
                "baseline": "item-kNN",
                "modalities": list(modalities),
                "content": content,
                **common,
            }
            train = _neighbours(modalities, recipe, ground)
            runs.append(Run(f"item-kNN on {name}", "baseline", None, identity, train))
    return runs, absent


def _neighbours(
    modalities: tuple[str, ...], recipe: Recipe, ground: Ground
) -> Callable[[Path], Ranking]:
    def train(folder: Path) -> Ranking:
        return Ranking(ItemKNN.fit(*(_embedded(ground, m, recipe) for m in modalities)))

    return train


def _lacks(ground: Ground, modality: str) -> str | None:
    """Say why a modality has no embeddings; None where it has, or words or pictures to encode."""
    data = ground.data
    if modality not in data.modalities:
        return f"the data has no {modality}"
    if modality not in data.embeddings and not data.encodable(modality):
        return f"it needs embeddings, and the data has ready-made codes only of {modality}"
    return None


def _embedded(ground: Ground, modality: str, recipe: Recipe) -> Embeddings:
    if modality in ground.data.embeddings:
        return ground.data.embeddings[modality]
    plain = recipe.content.model_copy(update={"shuffle": ()})
    return embed(ground.data, modality, plain, seed=recipe.seed).embeddings


def sasrec_runs(tuning: Tuning, seeds: Sequence[int]) -> list[Run]:
    """Return SASRec's runs, one a seed, all with what the trials of the first seed chose."""

    def of(seed: int) -> Run:
        def train(folder: Path) -> Ranking:
            chosen = tuning.best()
            trained = tuning.train(chosen, seed)
            size = sum(p.numel() for p in trained.model.parameters())
            cost = Cost(size, trained.progress.seconds)
            return Ranking(trained.model, cost, notes=f"{chosen}, {tuning.chosen_by}")

        return Run("SASRec", "baseline", seed, tuning.settings(seed), train)

    return [of(seed) for seed in seeds]


def spread(runs: Sequence[Run]) -> list[Run]:
    """Order runs so that an interrupted grid can be compared: every row's first seed first."""
    place = {name: n for n, name in enumerate(dict.fromkeys(run.row for run in runs))}
    taken = np.zeros(len(place), np.int64)
    rounds = []
    for run in runs:
        rounds.append((int(taken[place[run.row]]), place[run.row]))
        taken[place[run.row]] += 1
    return [runs[n] for n in sorted(range(len(runs)), key=lambda n: rounds[n])]
