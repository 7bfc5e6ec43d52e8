"""Ids as programs hold them: what finds an item, what is unknown, and what can be no id."""

import datetime
import enum
import uuid
from collections import deque
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePosixPath

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch

from mgrec import Dataset, Recommender, Request
from mgrec.data import arrays
from mgrec.data.features import Embeddings
from mgrec.errors import DataError, RequestError


class Shade(enum.Enum):
    RED = "i03"
    THREE = 3


class Whole(enum.IntEnum):
    THREE = 3


@pytest.fixture(scope="module")
def numbered(world, tiny):
    """A recommender whose ids are whole numbers, as pandas has them where something is missing."""
    bare = world.embedded()
    number = {item: float(row) for row, item in enumerate(world.items["item_id"])}
    items = pd.DataFrame({"item_id": list(number.values()), "price": 1.0})
    users = world.interactions["user_id"].rank("dense").to_list()
    log = pd.DataFrame(
        {
            "user_id": np.array(users, float),
            "item_id": [number[item] for item in world.interactions["item_id"]],
        }
    )
    data = Dataset.from_frames(items, log, embeddings=bare.embeddings)
    return Recommender.fit(data, tiny("text", "training.epochs=1", "model.layers=1"))


THREE = [
    *(3, 3.0, "3", " 3", "3 ", np.int64(3), np.uint8(3), np.float64(3), np.float32(3)),
    *(np.array(3), np.array(3.0), torch.tensor(3), torch.tensor(3.0), np.str_("3")),
    *(Decimal(3), Decimal("3.00"), Fraction(6, 2), Whole.THREE, Shade.THREE),
]


@pytest.mark.parametrize("three", THREE, ids=repr)
def test_a_whole_number_of_any_type_is_the_item_of_that_number(numbered, three):
    assert numbered.catalogue.items["item_id"].dtype == pl.Int64
    wanted = numbered.recommend(history=[3], k=5)
    assert wanted.generated
    assert numbered.recommend(history=[three], k=5) == wanted
    assert numbered.recommend(user=three, k=5) == numbered.recommend(user=3, k=5)
    assert numbered.recommend(history=[1], only=[three], k=5).item_ids == [3]
    assert 3 not in numbered.recommend(history=[1], exclude=[three], k=90).item_ids
    assert numbered.similar(three, k=3) == numbered.similar(3, k=3)
    assert numbered.explain(three, history=[1]).score == numbered.explain(3, history=[1]).score
    gone = numbered.remove_items([three, 3])
    assert gone.catalogue.rows_of([2, "2"]).tolist() == [2]
    with pytest.raises(RequestError, match="removed already"):
        gone.remove_items([three])


@pytest.mark.parametrize(
    "history",
    [
        *((1, 2), np.array([1, 2]), np.array([1.0, 2.0]), torch.tensor([1, 2]), range(1, 3)),
        *(pd.Series([1, 2], index=[7, 8]), pl.Series([1.0, 2.0]), pd.array([1, 2], "Int64")),
        *(deque([1, 2]), iter([1, 2]), {1: "a", 2: "b"}.keys(), [" 1", "2 "]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_history_may_be_whatever_holds_ids_in_order(numbered, history):
    assert numbered.recommend(history=history, k=5) == numbered.recommend(history=[1, 2], k=5)


NO_IDS = [
    *(None, True, np.True_, torch.tensor(True), "", b"3", bytearray(b"3"), 3.5, np.float32(0.5)),
    *(float("nan"), float("inf"), -float("inf"), 1e300, 2.0**53, np.float32(2**24), 10**5000),
    *([3], (3,), {3}, {3: 1}, np.array([3]), torch.tensor([3]), pd.Series([3]), pl.Series([3])),
    *(datetime.date(2024, 5, 17), pd.Timestamp(0), pd.NaT, pd.NA, np.datetime64("2024-05-17")),
    *(datetime.timedelta(3), Decimal("3.5"), Decimal("NaN"), Decimal("1e999999"), 1j, Ellipsis),
    *(object(), int, len, pd.DataFrame({"a": [3]}), pl.DataFrame({"a": [3]}), ValueError("3")),
]


@pytest.mark.parametrize("value", NO_IDS, ids=lambda value: type(value).__name__)
def test_what_can_be_no_id_is_refused_in_one_line(numbered, trained, value):
    for made in (numbered, trained):
        known = made.catalogue.item_ids[0]
        asked = [
            lambda made=made, known=known: made.recommend(history=[known, value]),
            lambda made=made, known=known: made.recommend(history=[known], only=[value]),
            lambda made=made, known=known: made.recommend(history=[known], exclude=[value]),
            lambda made=made: made.similar(value),
            lambda made=made, known=known: made.explain(value, history=[known]),
            lambda made=made: made.remove_items([value]),
        ]
        if value is not None:
            asked.append(lambda made=made: made.recommend(user=value))
        for ask in asked:
            with pytest.raises(RequestError, match="expected an id") as refused:
                ask()
            assert "\n" not in str(refused.value)
            assert len(str(refused.value)) < 120


@pytest.mark.parametrize(
    "history",
    [
        *("i03", b"i03", 3, 3.0, {"i03": 1}, {"i03"}, object(), uuid.uuid4()),
        *(np.array(3), torch.tensor(3), np.array([[3]]), pd.DataFrame({"i03": [1]})),
        pl.DataFrame({"i03": [1]}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_list_of_ids_is_refused(trained, history):
    with pytest.raises(RequestError, match="history: expected a list of item ids"):
        trained.recommend(history=history)


@pytest.mark.parametrize(
    "unknown", [-3, 10**6, 2**63, -(2**70), "007", "3.0", "٣", "x", " ", "i 3"]
)
def test_only_an_unknown_id_gets_popular_items(numbered, trained, unknown):
    for made in (numbered, trained):
        found = made.recommend(history=[unknown], k=3)
        assert found.item_ids == made.recommend(history=[], k=3).item_ids
        assert "no item of the history" in found.reason
        assert "is unknown" in made.recommend(user=unknown, k=3).reason


def test_text_ids_are_found_by_what_is_written_so(trained):
    wanted = trained.recommend(history=["i03"], k=3)
    for value in (np.str_("i03"), PurePosixPath("i03"), Shade.RED, np.array("i03")):
        assert trained.recommend(history=[value], k=3) == wanted


ITEMS = [uuid.UUID(int=n) for n in range(1, 13)]


@pytest.mark.parametrize("kind", ["pandas", "polars"])
def test_uuid_objects_are_ids_at_fit_and_in_requests(tiny, kind):
    log = [(ITEMS[user], ITEMS[(user + k) % 12]) for user in range(12) for k in range(4)]
    if kind == "pandas":
        items, taken = pd.DataFrame({"item_id": ITEMS}), pd.DataFrame(log)
        taken.columns = ["user_id", "item_id"]
    else:
        items = pl.DataFrame({"item_id": pl.Series(ITEMS, dtype=pl.Object)})
        users, taken_items = zip(*log, strict=True)
        taken = pl.DataFrame(
            {
                "user_id": pl.Series(users, dtype=pl.Object),
                "item_id": pl.Series(taken_items, dtype=pl.Object),
            }
        )
    vectors = np.random.default_rng(0).normal(size=(12, 4))
    data = Dataset.from_frames(items, taken, embeddings={"text": (ITEMS, vectors)})
    assert data.items["item_id"].to_list() == [str(item) for item in ITEMS]
    assert data.users[0] == str(ITEMS[0])
    assert data.index_of([ITEMS[4], str(ITEMS[5])]).tolist() == [4, 5]
    made = Recommender.fit(data, tiny("text", "training.epochs=1", "model.layers=1"))
    for user in (ITEMS[0], str(ITEMS[0])):
        assert made.recommend(user=user, k=1).generated
    assert made.recommend(history=[ITEMS[3]], k=1).known == 1
    more = made.add_items(
        pd.DataFrame({"item_id": [uuid.UUID(int=99)]}),
        embeddings={"text": Embeddings(np.ones((1, 4), np.float32), np.ones(1, bool))},
    )
    assert more.recommend(history=[uuid.UUID(int=99)], k=1).known == 1


@pytest.mark.parametrize(
    ("ids", "said"),
    [
        ([uuid.uuid4(), 7], "row 2, column 'item_id': found 7"),
        ([1, True], "row 2, column 'item_id': found True"),
        ([{"a": 1}, {"a": 2}], "row 1, column 'item_id': found {'a': 1} (an object)"),
        ([datetime.date(2024, 5, 17)] * 2, "row 1, column 'item_id': found datetime.date"),
        ([b"a", b"b"], "row 1, column 'item_id': found b'a'"),
        ([1.0, 2.5], "row 2, column 'item_id': found 2.5"),
        ([1, "x"], "row 2, column 'item_id': found 'x' (text)"),
        ([object(), object()], "row 1, column 'item_id': found <object"),
    ],
    ids=lambda value: "" if isinstance(value, list) else value[:30],
)
@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame], ids=["pandas", "polars"])
def test_columns_that_hold_no_ids_are_refused_with_their_row(frame, ids, said):
    cells = (
        pd.Series(ids, dtype=object) if frame is pd.DataFrame else pl.Series(ids, dtype=pl.Object)
    )
    with pytest.raises(DataError) as refused:
        Dataset.from_frames(frame({"item_id": cells}), pd.DataFrame({"user_id": [1]}))
    assert said in str(refused.value)


def test_pictures_named_by_path_objects_are_found(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    paths = [PurePosixPath("a.png"), None, PurePosixPath("b.png")]
    log = pd.DataFrame({"user_id": [1, 1, 1], "item_id": [1, 2, 3]})
    for items in (
        pd.DataFrame({"item_id": [1, 2, 3], "image": paths}),
        pl.DataFrame({"item_id": [1, 2, 3], "image": pl.Series(paths, dtype=pl.Object)}),
    ):
        data = Dataset.from_frames(items, log, root=tmp_path)
        assert data.pictures() == [tmp_path / "a.png", None, None]


def test_arrays_may_name_their_items_by_objects():
    known = pl.Series([str(item) for item in ITEMS])
    found, _ = arrays.embeddings(ITEMS[:2], np.ones((2, 3)), known, "x")
    assert found.present.tolist() == [True] * 2 + [False] * 10
    with pytest.raises(DataError, match=r"x, row 2: item_id is \{\}"):
        arrays.embeddings([ITEMS[0], {}], np.ones((2, 3)), known, "x")


@pytest.mark.parametrize(
    "fields",
    [
        *({"k": np.int64(3)}, {"k": np.array(3)}, {"k": torch.tensor(3)}, {"exclude": None}),
        *({"only": None}, {"max_per": None}, {"where": None}, {"exclude_seen": np.False_}),
        *({"max_per": {"season": np.uint8(9)}}, {"exclude": {"i01"}}, {"beams": np.int32(40)}),
        {"exclude": np.array([], object)},
    ],
    ids=repr,
)
def test_numbers_of_numpy_and_none_are_taken(store, fields):
    request = Request(user="u003", **({"k": 3} | fields))
    assert len(store.recommend_many([request])[0]) == 3
    if "beams" not in fields:
        assert len(store.recommend(user="u003", **({"k": 3} | fields))) == 3


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"k": None}, "k: expected a whole number, found None"),
        ({"k": [2]}, "k: expected a whole number"),
        ({"k": np.float64(2)}, "k: expected a whole number"),
        ({"k": -(10**5000)}, "k: expected at least 1, found a whole number of 16,610 bits"),
        ({"where": ""}, "where, character 1"),
        ({"where": 3}, "where: expected text, found 3"),
        ({"where": ["price < 3"]}, "where: expected text"),
        ({"max_per": [("season", 2)]}, "max_per: expected a dict such as"),
        ({"max_per": "season"}, "max_per: expected a dict such as"),
        ({"max_per": {3: 2}}, "max_per: expected an attribute's name, found 3"),
        ({"max_per": {"season": 2.0}}, "max_per: season: expected a whole number"),
        ({"exclude_seen": "no"}, "exclude_seen: expected True or False, found 'no'"),
        ({"only": "i01"}, "only: expected a list of item ids"),
        ({"exclude": 3}, "exclude: expected a list of item ids"),
        ({"exclude": {"i01": 1}}, "exclude: expected a list of item ids"),
    ],
)
def test_values_of_another_type_are_refused_in_one_line(store, fields, said):
    with pytest.raises(RequestError) as refused:
        store.recommend(user="u003", **fields)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_similar_refuses_values_of_another_type(store):
    for fields in ({"by": ["text"]}, {"by": 3}, {"where": ["a"]}, {"k": 2.0}):
        with pytest.raises(RequestError, match="expected"):
            store.similar("i03", **fields)


def test_no_allowed_item_gives_an_empty_answer(store):
    assert store.recommend(user="u003", only=[]).item_ids == []
