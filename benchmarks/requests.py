"""Requests with conditions: how often they miss the exact answer, and what certainty costs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.figure import Figure
from benchmarks.timing import seconds
from mgrec import Recipe, Recommender, Request
from mgrec.conditions.masks import mask
from mgrec.data.sequences import Sequences
from mgrec.data.worlds import make_world
from mgrec.search.jobs import Job
from mgrec.search.jobs import run as searched

CONDITIONS = ("price < 20", 'price < 12 and season == "winter"', "price < 8")
SETTINGS = ["training.epochs=6", "quantiser.levels=3", "quantiser.size=64", "model.dim=64"]
SETTINGS += [
    "model.head_dim=32",
    "model.hidden=256",
    "alignment.epochs=2",
    "model.experts.views=[]",
]


def run(quick: bool, data: Path | None) -> list[Figure]:
    """Return the figures; `data` is not needed: the world is planted."""
    items, users, asked = (600, 400, 20) if quick else (12_000, 6_000, 100)
    world = make_world(0, items=items, users=users)
    recipe = Recipe.named("late++").override([*SETTINGS, *(["training.epochs=1"] if quick else [])])
    made = Recommender.fit(world.embedded(), recipe)
    ids = made.users.ids[:asked].to_list()
    plain = _each(made, [Request(user=user, beams=20) for user in ids])
    figures = [Figure("a plain request, 20 beams", plain, "CPU ms", note=f"{items:,} items")]
    for where in CONDITIONS:
        figures += _one(made, where, ids)
    million = pl.DataFrame({"price": np.random.default_rng(0).random(1_000_000) * 100})
    taken = seconds(lambda: mask("price < 20", million)) * 1000
    return [*figures, Figure("a new condition's mask, 1,000,000 items", taken, "CPU ms")]


def _each(made: Recommender, requests: list[Request]) -> float:
    return seconds(lambda: made.recommend_many(requests)) * 1000 / len(requests)


def _one(made: Recommender, where: str, users: list[int | str]) -> list[Figure]:
    """Compare answers, and searches of a fixed width, with the scores of every allowed item."""
    requests = [Request(user=user, where=where) for user in users]
    kept = made.select(where).kept
    name = f"`{where}`: {kept.n_items:,} kept"
    answers = [made.catalogue.index_of(a.item_ids) for a in made.recommend_many(requests)]
    exact = _fixed(made, where, users, kept.n_items)
    figures = [Figure(f"the exact list of 10, {name}", 100 * _same(answers, exact), "% of users")]
    for beams in (20, 50):
        share = 100 * _same(_fixed(made, where, users, beams), exact)
        figures.append(Figure(f"the same at {beams} beams fixed, {name}", share, "% of users"))
    every = seconds(lambda: _fixed(made, where, users, kept.n_items)) * 1000 / len(users)
    cost = _each(made, requests)
    note = f"{len(users)} in a batch"
    against = "scoring every item"
    return [
        *figures,
        Figure(f"a request, {name}", cost, "CPU ms", every, against, every / cost, note=note),
    ]


def _fixed(made: Recommender, where: str, users: list[int | str], beams: int) -> list[np.ndarray]:
    """Search with so many beams and no more; as many as items are allowed score all of them."""
    histories: Sequences = made.users.log
    nothing = np.empty(0, np.int64)
    rows = [made.users.row(user) for user in users]
    jobs = [
        Job(histories[r].astype(np.int64), 10, beams, made.select(where).kept, nothing)
        for r in rows
    ]
    return [found.items for found in searched(made.model, jobs, made.recipe.search)]


def _same(found: list[np.ndarray], wanted: list[np.ndarray]) -> float:
    return float(np.mean([np.array_equal(*pair) for pair in zip(found, wanted, strict=True)]))
