"""What items are called and described by, whatever type their columns have."""

import datetime as dt
import os
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from mgrec import Dataset, Recommender
from mgrec.data.features import Embeddings
from mgrec.serving.cards import cards, search
from mgrec.serving.edition import Edition
from mgrec.study.inspection import inspection
from mgrec.study.summary import report_run
from mgrec.titles import description, titles

N = 12
KINDS = {
    "text": ([f"Thing {i}" for i in range(N)], "Thing 1"),
    "paragraphs": ([[f"Part {i}", None, "two"] for i in range(N)], "Part 1, two"),
    "whole numbers": (list(range(1900, 1900 + N)), "1901"),
    "numbers": ([i / 2 for i in range(N)], "0.5"),
    "true and false": ([i % 2 == 0 for i in range(N)], "false"),
    "objects": ([{"size": i, "gone": None} for i in range(N)], '{"size": 1}'),
    "nested lists": ([[["a", str(i)]] for i in range(N)], '[["a", "1"]]'),
    "dates": ([dt.date(2024, 5, 1 + i) for i in range(N)], "2024-05-02"),
    "nothing": ([None] * N, ""),
    "empty lists": ([[]] * N, ""),
    "empty objects": ([{}] * N, ""),
    "blanks": ([" \n"] * N, ""),
    "numbers, one at a time": ([[i, i + 1] for i in range(N)], "1, 2"),
}


@pytest.fixture(scope="module")
def fitted(tiny):
    vectors = np.random.default_rng(0).normal(size=(N, 8)).astype(np.float32)
    log = [(u, (u + k) % N) for u in range(20) for k in range(4)]
    data = Dataset.from_frames(
        pl.DataFrame({"item_id": range(N)}),
        pl.DataFrame(log, schema=["user_id", "item_id"], orient="row"),
        embeddings={"text": Embeddings(vectors, np.ones(N, bool))},
    )
    return Recommender.fit(data, tiny("text"))


def over(fitted, **columns) -> Recommender:
    """Return the recommender over a catalogue that has these columns too."""
    items = {"item_id": list(range(N)), **columns}
    log = pl.DataFrame({"user_id": [1], "item_id": [0]})
    items = Dataset.from_frames(items, log).items
    return replace(fitted, catalogue=replace(fitted.catalogue, items=items))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("column", ["title", "description"])
def test_any_value_is_a_text_in_every_view(fitted, tmp_path, kind, column):
    values, text = KINDS[kind]
    made = over(fitted, **{column: values})
    items = made.catalogue.items
    assert titles(items, [1]) == [text]
    assert description(items, 1) == (text if column == "description" else "")
    assert inspection(made, item="1").items[0].title == text
    edition = Edition("run", 1, made)
    assert cards(edition, [1], [])[0].title == (text or "1")
    if text:
        words = text.split()[0].lower()
        assert 1 in search(edition, words)
    made.save(tmp_path / "run")
    loaded = Recommender.load(tmp_path / "run")
    assert titles(loaded.catalogue.items, [1]) == [text]
    assert loaded.recommend(history=[1]).generated


@pytest.mark.parametrize("kind", ["paragraphs", "whole numbers", "objects"])
def test_a_report_is_written_whatever_type_a_description_has(fitted, tmp_path, kind):
    values, text = KINDS[kind]
    made = over(fitted, title=[f"T {i}" for i in range(N)], description=values)
    report_run(made, tmp_path / "report.html")
    words = text.replace('"', "&#34;")
    assert words in (tmp_path / "report.html").read_text()


def test_new_items_may_write_lists_as_text_and_texts_as_lists(fitted):
    made = over(
        fitted, title=[f"T {i}" for i in range(N)], description=[["a", "b"] for _ in range(N)]
    )
    new = {"item_id": [50, 51], "title": [["x", "y"], None], "description": ["plain", None]}
    vectors = np.ones((2, 8), np.float32)
    more = made.add_items(
        pl.DataFrame(new), embeddings={"text": Embeddings(vectors, np.ones(2, bool))}
    )
    assert more.catalogue.items["description"].to_list()[N:] == [["plain"], None]
    assert more.catalogue.items["title"].to_list()[N:] == ["x, y", None]


def test_objects_of_an_earlier_artifact_are_texts_when_it_is_loaded(fitted, tmp_path):
    items = pl.DataFrame({"item_id": range(N), "details": [{"a": i} for i in range(N)]})
    made = replace(fitted, catalogue=replace(fitted.catalogue, items=items))
    made.save(tmp_path / "run")
    loaded = Recommender.load(tmp_path / "run")
    assert loaded.catalogue.items["details"].to_list()[:2] == ['{"a": 0}', '{"a": 1}']
    vectors = {"text": Embeddings(np.ones((1, 8), np.float32), np.ones(1, bool))}
    more = loaded.add_items(
        pl.DataFrame({"item_id": [90], "details": [{"b": 7}]}), embeddings=vectors
    )
    assert more.catalogue.items["details"][-1] == '{"b": 7}'


@pytest.mark.skipif(os.name != "posix", reason="file names are bytes there only")
def test_a_folder_whose_name_is_no_utf8_can_be_saved_and_loaded(fitted, tmp_path):
    root = tmp_path / os.fsdecode(b"data\xff")
    made = replace(fitted, catalogue=replace(fitted.catalogue, root=root))
    made.save(tmp_path / "run")
    assert Recommender.load(tmp_path / "run").catalogue.root == root.resolve()
