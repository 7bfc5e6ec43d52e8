"""The pivot and its company, and the map of a codebook, on codes laid out by hand."""

import numpy as np
import polars as pl
import pytest

from mgrec.data.features import Codes, Embeddings
from mgrec.errors import RequestError
from mgrec.study.attributes import agreement, attributes, chosen, telling
from mgrec.study.codemap import BANDS, centres, codemap, plane
from mgrec.study.company import company, pivot_of


def codes_of(first, present=None):
    first = np.asarray(first, np.int32)[:, None]
    present = np.ones(len(first), bool) if present is None else np.asarray(present, bool)
    return Codes(first * present[:, None], present, (8,))


TEXT = codes_of([0, 0, 0, 0, 0, 1, 1, 2])
IMAGE = codes_of([3, 3, 3, 3, 3, 3, 4, 4])


def test_the_pivot_is_the_most_taken_item_that_has_company_and_every_modality():
    counts = np.array([1, 2, 3, 4, 5, 50, 40, 30])
    both = {"text": TEXT, "image": IMAGE}
    assert pivot_of(both, counts) == 4  # 5 to 7 are taken more, and have little company
    lacking = {"text": TEXT, "image": codes_of(IMAGE.codes[:, 0], [1, 1, 1, 1, 0, 1, 1, 1])}
    assert pivot_of(lacking, counts) == 3
    alone = {"text": TEXT, "image": codes_of(range(8))}
    assert pivot_of(alone, counts) == 5  # where nobody has company, the most taken
    nobody = {"text": TEXT, "image": codes_of([0] * 8, [0] * 8)}
    assert pivot_of(nobody, counts) is None


def test_without_a_block_there_is_no_pivot():
    assert pivot_of({}, np.ones(3, np.int64)) is None


def test_company_shares_the_first_code_most_taken_first():
    counts = np.array([1, 2, 3, 4, 5, 50, 40, 30])
    found = company({"text": TEXT, "image": IMAGE}, counts, 4)
    assert found.code == {"text": 0, "image": 3}
    assert found.shown == {"text": (3, 2, 1, 0), "image": (5, 3, 2, 1, 0)}
    assert found.count == {"text": 4, "image": 5}
    assert found.in_all == 4


def test_an_item_without_the_modality_is_nobodys_company():
    lacking = codes_of([0, 0, 0], [1, 0, 1])
    assert company({"text": lacking}, np.arange(3), 0).shown == {"text": (2,)}


ITEMS = pl.DataFrame(
    {
        "item_id": list(range(8)),
        "title": list("abcdefgh"),
        "genre": ["x", "x", "x", "x", "x", "y", "y", " "],
        "tags": [["all", "p"]] * 5 + [["all", "q"]] * 2 + [["all"]],
        "year": list(range(8)),
        "same": ["only"] * 8,
    }
)


def test_columns_of_few_words_are_attributes_and_lists_are_read_by_place():
    found = {one.name: one for one in attributes(ITEMS)}
    assert set(found) == {"genre", "tags, entry 2"}
    assert found["genre"].kinds == ("x", "y")
    assert found["genre"].kind.tolist() == [0, 0, 0, 0, 0, 1, 1, -1]
    assert found["tags, entry 2"].kind.tolist() == [0, 0, 0, 0, 0, 1, 1, -1]
    assert agreement(found["genre"], TEXT) == pytest.approx(1)
    assert agreement(found["genre"], codes_of([0] * 8, [0] * 8)) == 0
    told = telling(attributes(ITEMS), {"text": TEXT, "image": IMAGE})
    assert told["genre"]["text"] > told["genre"]["image"]


def test_an_attribute_that_is_none_is_named_with_those_that_are():
    with pytest.raises(RequestError, match=r"'genr'.*Did you mean 'genre'.*tags, entry 2"):
        chosen(ITEMS, "genr")


def test_a_map_puts_a_code_at_the_mean_of_its_items():
    vectors = np.zeros((8, 5), np.float32)
    vectors[:, 2] = [0, 0, 0, 0, 0, 3, 5, 10]
    present = np.ones(8, bool)
    where, items = centres(TEXT, Embeddings(vectors, present))
    assert items.tolist() == [5, 2, 1, 0, 0, 0, 0, 0]
    assert where[:3, 2].tolist() == [0, 4, 10]
    found = codemap(
        "text", TEXT, Embeddings(vectors, present), np.arange(8), chosen(ITEMS, "genre")
    )
    assert found.code.tolist() == [0, 1, 2]
    assert np.diff(found.place[:, 0]) == pytest.approx([4, 6])
    assert found.place[:, 1] == pytest.approx(np.zeros(3), abs=1e-9)
    assert found.explained == pytest.approx(1)
    assert found.group.tolist() == [0, 1, -1]
    assert found.share[:2].tolist() == [1, 1]


def test_without_an_attribute_codes_are_shaded_by_popularity():
    rng = np.random.default_rng(0)
    codes = Codes(np.repeat(np.arange(8), 3)[:, None].astype(np.int32), np.ones(24, bool), (8,))
    vectors = Embeddings(rng.normal(size=(24, 4)).astype(np.float32), np.ones(24, bool))
    found = codemap("text", codes, vectors, np.repeat(np.arange(8)[::-1], 3), None)
    assert (found.by, found.groups, found.ordered) == ("popularity", BANDS, True)
    assert found.group.tolist() == [3, 3, 2, 2, 1, 1, 0, 0]


def test_the_plane_keeps_distances_that_lie_in_it_and_one_point_is_no_failure():
    rng = np.random.default_rng(0)
    flat = rng.normal(size=(9, 2))
    turned = flat @ np.linalg.qr(rng.normal(size=(6, 6)))[0][:2]
    placed, kept = plane(turned)
    apart = np.linalg.norm(flat[:, None] - flat[None], axis=2)
    assert np.linalg.norm(placed[:, None] - placed[None], axis=2) == pytest.approx(apart)
    assert kept == pytest.approx(1)
    assert plane(flat[:1])[0].tolist() == [[0, 0]]
