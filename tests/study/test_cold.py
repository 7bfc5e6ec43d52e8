"""The cold-start protocol on planted worlds: who is found, by what, and who pays for it."""

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from mgrec import Dataset
from mgrec.data.cold import drawn
from mgrec.data.features import Embeddings
from mgrec.data.worlds import make_world
from mgrec.errors import RequestError
from mgrec.measure.metrics import metric
from mgrec.study.cold import cold_start
from mgrec.study.cold_page import document, page, publish, table

SMALL = [
    "model.dim=32",
    "model.head_dim=16",
    "model.hidden=64",
    "model.dropout=0.2",
    "training.epochs=8",
    "training.targets=256",
    "training.learning_rate=3e-3",
    "training.warmup=20",
    "training.evaluate_every=4",
]
EXPERTS = (
    "model.experts.views=[text,image]",
    "model.experts.shared=true",
    "model.experts.content_dropout=0.2",
)


@pytest.fixture(scope="module")
def planted():
    """Few, large cells: who likes one item of a cell likes the one that just came to it."""
    return make_world(0, items=160, users=500, topics=4, looks=2, history=(6, 10)).embedded()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("cold")


@pytest.fixture(scope="module")
def recipe(tiny):
    return tiny("late++", *SMALL, *EXPERTS)


@pytest.fixture(scope="module")
def found(planted, recipe, place):
    return cold_start(planted, recipe, place, share=0.1)


def recall(ranks):
    return float(metric(ranks, "Recall@10").mean())


def test_content_brings_in_whom_generation_alone_leaves_out(found):
    alone, *_, chosen = found.ways
    assert alone.ratio is None
    assert chosen.ratio == found.chosen
    assert chosen.reached > alone.reached
    assert recall(chosen.cold) > recall(alone.cold)
    assert recall(chosen.cold) > 3 * 10 / found.items  # several times what chance gives


def test_what_brings_them_in_is_their_own_content(planted, recipe, place, found):
    """The control: new items with each other's vectors are let in as often, to the wrong people."""
    fresh = np.setdiff1d(
        np.arange(planted.n_items),
        planted.index_of(found.made.catalogue.items["item_id"].to_list()),
    )
    order = np.arange(planted.n_items)
    order[fresh] = np.roll(fresh, len(fresh) // 2)
    mixed = {
        name: Embeddings(e.vectors[order], e.present[order])
        for name, e in planted.embeddings.items()
    }
    control = cold_start(replace(planted, embeddings=mixed), recipe, place, share=0.1)
    at = {way.ratio: way for way in control.ways}
    theirs = at.get(found.chosen, control.ways[-1])
    assert recall(theirs.cold) < recall(found.ways[-1].cold)


def test_everybody_elses_generated_scores_stay_and_what_they_lose_is_small(found):
    """With experts all scores of one user move by one number: their softmax has more to share."""
    before = recall(found.before)
    for way in found.ways[1:]:
        assert way.shift.max() <= 1e-5
        assert way.shift.min() > -1
        assert recall(way.warm) > before - way.taken - 0.02


def test_what_is_done_is_not_done_again_and_comes_out_the_same(found, planted, recipe, place):
    saved = (place / "run" / "model.safetensors").stat().st_mtime_ns
    again = cold_start(planted, recipe, place, share=0.1)
    assert (place / "run" / "model.safetensors").stat().st_mtime_ns == saved
    assert document(again) == document(found)
    with pytest.raises(RequestError, match="expected the same"):
        cold_start(planted, recipe.override(["seed=1"]), place, share=0.1)


def test_the_report_says_it(found, place):
    text = table(found).to_text()
    assert "16 of 160 items (10%, seed 0)" in text
    assert "generation alone" in text
    publish(found, place)
    assert {f.name for f in place.iterdir()} >= {"report.html", "report.md", "report.json", "run"}
    values = json.loads((place / "report.json").read_text())
    assert values["ways"][0]["ratio"] is None
    assert values["ways"][0]["cold"]["Recall@10"]["value"] == recall(found.ways[0].cold)
    assert page(found).verdict in (place / "report.md").read_text()


@pytest.mark.parametrize("name", ["text", "paper-text"])
def test_without_experts_a_share_of_the_siblings_is_all(planted, tiny, tmp_path, name):
    small = ["model.layers=1", "model.decoder_layers=1", "training.epochs=1"]
    found = cold_start(planted, tiny(name, *SMALL, *small), tmp_path, share=0.1)
    for way in found.ways[1:]:
        assert way.shift.max() <= 1e-4  # nobody gains by it
        assert np.isfinite(way.shift).all()


def test_nobody_is_asked_for_what_training_saw(tiny, tmp_path):
    """Who is left with fewer than three items is trained on whole, the target too."""
    data = make_world(0, items=60, users=300, topics=4, looks=2, history=(3, 5)).embedded()
    small = ["model.layers=1", "training.epochs=1"]
    found = cold_start(data, tiny("text", *SMALL, *small), tmp_path, share=0.4)
    old = set(data.index_of(found.made.catalogue.items["item_id"].to_list()).tolist())
    histories = [items.tolist() for items in data.log]
    known = [[item for item in items if item in old] for items in histories]
    asked = [k for k, items in zip(known, histories, strict=True) if items[-1] in old]
    assert any(len(items) < 3 for items in asked)
    assert len(found.before) == sum(len(items) >= 3 for items in asked)
    cold = sum(items[-1] not in old for items in histories)
    assert all(len(way.cold) == cold for way in found.ways)


def test_a_share_that_leaves_nobody_else_is_refused_before_training(tiny, tmp_path):
    items = pl.DataFrame({"item_id": [f"i{n}" for n in range(8)], "text": list("abcdefgh")})
    rows = [(f"u{u}", f"i{n}", u * 10 + n) for u in range(2) for n in range(8)]
    log = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")
    data = Dataset.from_frames(items, log)  # both took i7 last
    seed = next(seed for seed in range(99) if 7 in drawn(data, 0.5, seed))
    with pytest.raises(RequestError, match="no test case is left without new items"):
        cold_start(data, tiny("text"), tmp_path / "out", share=0.5, seed=seed)
    assert not (tmp_path / "out").exists()


def test_a_split_that_holds_nothing_out_is_refused(planted, tiny, tmp_path):
    bare = tiny("text", "training.epochs=1", "split.kind=none")
    with pytest.raises(RequestError, match="no test case that training did not see"):
        cold_start(planted, bare, tmp_path, share=0.1)
