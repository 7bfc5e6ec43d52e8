"""New items whose columns have other types than the catalogue's: cast without loss, or refused."""

import datetime
import json
import re
from dataclasses import replace
from decimal import Decimal

import numpy as np
import polars as pl
import pytest

from mgrec import Dataset
from mgrec.data.features import Embeddings
from mgrec.errors import DataError

DAY = datetime.date(2024, 5, 17)
TYPED = pl.select(
    stock=pl.lit(5),
    rate=pl.lit(0.5, pl.Float32),
    shelf=pl.lit(3, pl.UInt8),
    cost=pl.lit(Decimal("1.50"), pl.Decimal(10, 2)),
    on_sale=pl.lit(True),
    released=pl.lit(DAY),
    at=pl.lit(datetime.datetime(2024, 5, 17)),
    zoned=pl.lit(datetime.datetime(2024, 5, 17)).dt.replace_time_zone("UTC"),
    brand=pl.lit("007"),
    tags=pl.concat_list(pl.lit("red")),
    sizes=pl.concat_list(pl.lit(1), pl.lit(2)),
)


@pytest.fixture(scope="module")
def typed(store):
    """A catalogue with columns of many types."""
    items = store.catalogue.items.drop("tags").join(TYPED, how="cross")
    return store.over(replace(store.catalogue, items=items))


def added(made, folder, kind, column, value):
    """Add an item by a file or a frame; return the value that the catalogue then has."""
    if kind == "frame":
        given = pl.DataFrame({"item_id": ["x1", "x2"], column: [None, value]}, strict=False)
    else:
        given = folder / f"new.{kind}"
        if kind == "csv":
            given.write_text(f"item_id,{column}\nx1,\nx2,{value}\n")
        else:
            lines = [{"item_id": "x1"}, {"item_id": "x2", column: value}]
            given.write_text("\n".join(map(json.dumps, lines)))
    made = made.add_items(given)
    before, found = made.catalogue.items[column].to_list()[-2:]
    assert before is None
    return found


CAST = [
    *(("jsonl", "stock", 9.0, 9), ("csv", "stock", "9.0", 9), ("frame", "stock", "12", 12)),
    *(("frame", "stock", Decimal("9.0"), 9), ("jsonl", "shelf", 255, 255)),
    *(("jsonl", "rate", 7, 7.0), ("jsonl", "rate", "0.25", 0.25), ("csv", "rate", "1e3", 1000.0)),
    *(("jsonl", "cost", 9.99, Decimal("9.99")), ("csv", "cost", "12.50", Decimal("12.50"))),
    *(("csv", "on_sale", "False", False), ("jsonl", "on_sale", 1, True)),
    *(("jsonl", "released", "2024-05-17", DAY), ("csv", "released", "2024-05-17", DAY)),
    ("frame", "released", datetime.datetime(2024, 5, 17), DAY),
    ("jsonl", "at", "2024-05-17T12:00:00+02:00", datetime.datetime(2024, 5, 17, 10)),
    ("frame", "at", DAY, datetime.datetime(2024, 5, 17)),
    *(("csv", "brand", "008", "008"), ("jsonl", "brand", 8, "8"), ("csv", "brand", "1.50", "1.50")),
    *(
        ("jsonl", "tags", ["new"], ["new"]),
        ("jsonl", "tags", [], []),
        ("jsonl", "tags", [7], ["7"]),
    ),
    ("jsonl", "sizes", [3.0], [3]),
    *(("jsonl", "colour", [1], [1]), ("frame", "colour", DAY, DAY)),  # the catalogue lacks it
]


@pytest.mark.parametrize(("kind", "column", "value", "expected"), CAST)
def test_new_values_take_the_catalogues_type_where_nothing_is_lost(
    typed, tmp_path, kind, column, value, expected
):
    assert added(typed, tmp_path, kind, column, value) == expected


def test_new_moments_take_the_catalogues_zone(typed, tmp_path):
    found = added(typed, tmp_path, "jsonl", "zoned", "2024-05-17T12:00:00+02:00")
    assert found == datetime.datetime(2024, 5, 17, 10, tzinfo=datetime.UTC)


LOST = [
    *(("jsonl", "stock", 9.99), ("jsonl", "stock", "x"), ("jsonl", "stock", True)),
    *(("jsonl", "stock", [1]), ("jsonl", "stock", 2**63), ("csv", "stock", "n/a")),
    *(("jsonl", "shelf", 256), ("jsonl", "shelf", -1), ("jsonl", "rate", "1e999")),
    *(("jsonl", "rate", 2**24 + 1), ("jsonl", "cost", 9.999), ("jsonl", "rate", False)),
    *(("jsonl", "on_sale", 0.5), ("jsonl", "on_sale", 2), ("jsonl", "on_sale", "no")),
    *(("jsonl", "released", 1_715_900_000), ("csv", "released", 19860), ("jsonl", "at", 1.5)),
    *(("jsonl", "released", "soon"), ("jsonl", "released", "2024-05-17T10:00:00")),
    *(("jsonl", "released", "2024-02-30"), ("jsonl", "tags", "red"), ("csv", "tags", "red")),
    *(("jsonl", "brand", ["x"]), ("jsonl", "sizes", [1.5]), ("jsonl", "sizes", 3)),
]


@pytest.mark.parametrize(("kind", "column", "value"), LOST)
def test_a_new_value_that_would_change_is_refused_with_its_row(
    typed, tmp_path, kind, column, value
):
    line = {"csv": "line 3", "jsonl": "line 2"}[kind]
    with pytest.raises(DataError) as refused:
        added(typed, tmp_path, kind, column, value)
    assert str(refused.value).startswith(f"new.{kind}, {line}, column '{column}': found ")
    assert str(refused.value).endswith("as in the catalogue")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["*", "^.*$", "^stock$"])
def test_a_column_named_as_a_pattern_is_refused(typed, name):
    frame = pl.DataFrame({"item_id": ["x1"], name: [1]})
    with pytest.raises(DataError, match=re.escape(f"found a column '{name}'")):
        typed.add_items(frame)
    with pytest.raises(DataError, match=re.escape(f"found a column '{name}'")):
        Dataset.from_frames(frame, pl.DataFrame({"user_id": ["u"], "item_id": ["x1"]}))


@pytest.mark.parametrize("name", ["", "^a", "a$", "count", "value", "row", "a b", "index", "é"])
def test_columns_of_unusual_names_come_and_are_filtered_by(typed, name):
    made = typed.add_items(pl.DataFrame({"item_id": ["x1"], name: ["new"]}))
    made = made.add_items(pl.DataFrame({"item_id": ["x2"], name: ["old"], "stock": [7]}))
    assert made.catalogue.items[name].to_list()[-3:] == [None, "new", "old"]
    if name:
        asked = {"where": f"`{name}` == 'new'", "max_per": {name: 1}}
        assert made.recommend(history=[], **asked).item_ids == ["x1"]


def test_dates_outside_the_calendar_are_refused(typed):
    strange = pl.Series("released", [1_715_900_000], dtype=pl.Int32).cast(pl.Date)
    log = pl.DataFrame({"user_id": ["u"], "item_id": ["x1"]})
    for column in (strange, strange.reshape((1, 1)).arr.to_list()):
        frame = pl.DataFrame({"item_id": ["x1"]}).with_columns(column.alias("released"))
        for give in (typed.add_items, lambda frame: Dataset.from_frames(frame, log)):
            with pytest.raises(DataError, match="items, row 1, column 'released': found"):
                give(frame)


def test_an_item_that_comes_back_has_only_what_it_comes_with(typed):
    first = typed.catalogue.items[0, "item_id"]
    gone = typed.remove_items([first])
    new = pl.DataFrame(
        {"item_id": ["x1", first, "x2"], "stock": [1, 2, 3], "colour": ["a", "b", "c"]}
    )
    made = gone.add_items(new)
    row = made.catalogue.items.row(0, named=True)
    known = {"item_id": first, "stock": 2, "colour": "b"}
    assert row == dict.fromkeys(made.catalogue.items.columns) | known
    assert made.catalogue.items["item_id"].to_list()[-2:] == ["x1", "x2"]
    assert made.catalogue.items["stock"].to_list()[-2:] == [1, 3]
    assert made.recommend(history=[], where="rate == .5 and item_id == 'i00'").item_ids == []


def test_texts_and_lists_of_texts_stand_for_each_other_in_text_columns(store):
    items = store.catalogue.items.with_columns(about=pl.concat_list(pl.lit("a"), pl.lit("b")))
    catalogue = replace(store.catalogue, items=items, text_columns=("title", "about"))
    new = {"item_id": ["x1", "x2"], "title": [["A", "lamp"], None], "about": ["plain", None]}
    vectors = {
        name: Embeddings(np.ones((2, e.dim), np.float32), np.ones(2, bool))
        for name, e in store.catalogue.vectors.items()
    }
    made = store.over(catalogue).add_items(pl.DataFrame(new), embeddings=vectors)
    assert made.catalogue.items["title"].to_list()[-2:] == ["A, lamp", None]
    assert made.catalogue.items["about"].to_list()[-2:] == [["plain"], None]


def test_ids_of_new_items_that_look_wrong_are_refused_or_warned_of(typed, tmp_path):
    for id_ in ("", "  "):
        with pytest.raises(DataError, match="row 1, column 'item_id': found no id"):
            typed.add_items([{"item_id": id_}])
    file = tmp_path / "new.csv"
    file.write_text("item_id;title\nx;y\n")
    with pytest.raises(DataError, match=r"Columns are separated by commas\.$"):
        typed.add_items(file)
