"""Evaluations as frames: the ids and places that people use."""

import polars as pl
import pytest

from mgrec import Dataset, Recommender
from mgrec.study.results import fit_baselines, measure_all


@pytest.fixture(scope="module")
def numbered(world, tiny):
    """A recommender whose items and users have numbers for ids, none of them a row's index."""
    bare = world.embedded()
    item = {name: 1000 + 7 * row for row, name in enumerate(bare.items["item_id"])}
    items = bare.items.with_columns(pl.col("item_id").replace_strict(item, return_dtype=pl.Int64))
    log = world.interactions.with_columns(
        pl.col("item_id").replace_strict(item, return_dtype=pl.Int64),
        user_id=pl.col("user_id").str.slice(1).cast(pl.Int64) * 3 + 500_000,
    )
    data = Dataset.from_frames(items, log, embeddings=bare.embeddings)
    return Recommender.fit(data, tiny("text", "training.epochs=1")), log


@pytest.mark.parametrize("exclude_seen", [False, True])
def test_frame_has_the_ids_of_the_data_and_ranks_from_one(numbered, exclude_seen):
    made, log = numbered
    found = made.evaluate(exclude_seen=exclude_seen)
    frame = found.to_frame()
    assert frame.columns == ["user_id", "item_id", "rank"]
    assert frame.schema["user_id"] == frame.schema["item_id"] == pl.Int64
    last = log.group_by("user_id").agg(pl.col("item_id").last())
    both = frame.join(last, on="user_id", suffix="_of_log")
    assert len(both) == len(frame) == len(found.ranks) > 50
    assert (both["item_id"] == both["item_id_of_log"]).all()
    ranks = frame["rank"].drop_nulls()
    assert ranks.min() >= 1
    assert ranks.max() <= 20
    hits = (frame["rank"] <= 10).fill_null(False).mean()
    assert hits == pytest.approx(found.metrics["Recall@10"].value)
    test = made.split().test
    lists = made.top(test.history, 20, exclude_seen)
    for row, (item, rank) in enumerate(zip(frame["item_id"], frame["rank"], strict=True)):
        listed = [made.catalogue.item_ids[place] for place in lists[row].tolist() if place >= 0]
        assert (listed.index(item) + 1 if item in listed else None) == rank


def test_frames_of_baselines_have_the_same_rows(numbered):
    made, _ = numbered
    rankers = fit_baselines(made, made.split(), trained=False)
    for found in measure_all({"popularity": rankers["popularity"]}, made, made.split()).values():
        frame = found.to_frame()
        assert frame["user_id"].to_list() == made.evaluate().to_frame()["user_id"].to_list()
