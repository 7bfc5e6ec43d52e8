"""Semantic IDs: every layout gives every item an ID of its own, which can be read back."""

from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from mgrec.configs import IdsConfig
from mgrec.data.features import Codes
from mgrec.errors import RecipeError
from mgrec.ids.semantic_ids import BASE, SPECIALS, build, disambiguate, extend
from mgrec.ids.trie import Trie
from tests.planted import FUSIONS, random_codes, random_ids


@pytest.mark.parametrize("name", FUSIONS)
def test_every_item_has_an_id_of_its_own_and_it_can_be_inverted(name):
    ids = random_ids(FUSIONS[name])
    codes = ids.target_codes()
    assert len(np.unique(codes, axis=0)) == ids.n_items
    trie = Trie.of(ids)
    for item in range(0, ids.n_items, 17):
        assert trie.under(tuple(codes[item].tolist())).tolist() == [item]


@pytest.mark.parametrize("name", FUSIONS)
def test_every_slot_keeps_to_its_own_range_of_tokens(name):
    ids = random_ids(FUSIONS[name])
    edges = [(slot.first, slot.first + slot.size) for slot in ids.slots]
    assert edges[0][0] == SPECIALS
    assert edges[-1][1] == ids.vocabulary
    assert all(low[1] == high[0] for low, high in pairwise(edges))
    for place, (first, end) in enumerate(edges):
        column = ids.tokens[:, place]
        assert first <= column.min() <= column.max() < end


def test_layouts_are_those_of_the_paper():
    def layout(name):
        return [f"{s.kind[0]}{s.modality[:1]}{s.level}" for s in random_ids(FUSIONS[name]).slots]

    assert layout("text") == ["ct0", "ct1", "d0"]
    assert layout("late") == ["ct0", "ct1", "ci0", "ci1", "d0"]
    assert layout("late++") == ["ct0", "ct1", "ti0", "ci0", "ci1", "d0"]
    assert layout("image first") == ["ci0", "ci1", "tt0", "ct0", "ct1", "d0"]
    assert layout("three modalities").count("tf0") == 1
    assert layout("interleaved") == ["ct0", "ci0", "ct1", "ci1", "d0"]


def test_a_text_target_is_disambiguated_by_itself():
    text = random_codes(300, (3, 3), missing=0)
    ids = build(
        {"text": text, "image": random_codes(300, seed=1)}, IdsConfig(fusion="late", target="text")
    )
    assert [ids.slots[s].modality for s in ids.target] == ["text", "text", ""]
    assert len(np.unique(ids.target_codes(), axis=0)) == 300


def test_a_missing_block_has_reserved_codes():
    codes = random_codes(100, missing=0.3)
    ids = build({"image": codes}, FUSIONS["image"])
    assert (ids.has_block("image") == codes.present).all()
    absent = int(np.flatnonzero(~codes.present)[0])
    assert ids.text(absent).startswith("image1:missing image2:missing u")


@pytest.mark.parametrize(("group", "digits"), [(1, 1), (128, 1), (160, 2), (5000, 2), (40000, 3)])
def test_groups_of_any_size_are_told_apart_with_room_for_more(group, digits):
    alone = np.arange(50)[:, None] + 1
    tuples = np.concatenate([np.zeros((group, 1), int), alone])
    found = disambiguate(tuples)
    assert found.shape == (group + 50, digits)
    assert len(np.unique(np.concatenate([tuples, found], 1), axis=0)) == group + 50
    assert BASE**digits >= 2 * group


@pytest.mark.parametrize("name", FUSIONS)
def test_who_joins_changes_nobodys_id(name):
    everybody = {m: random_codes(200, seed=i) for i, m in enumerate(("text", "image", "fused"))}
    first, later = np.arange(120), np.arange(120, 200)
    ids = build({m: codes.select(first) for m, codes in everybody.items()}, FUSIONS[name])
    more = extend(ids, {m: codes.select(later) for m, codes in everybody.items()})
    assert (more.tokens[:120] == ids.tokens).all()
    assert more.slots == ids.slots
    assert len(np.unique(more.target_codes(), axis=0)) == 200
    assert (more.tokens == build(everybody, FUSIONS[name]).tokens).all()
    by_one = ids
    for item in later:
        by_one = extend(by_one, {m: c.select(np.array([item])) for m, c in everybody.items()})
    assert (by_one.tokens == more.tokens).all()


def test_items_without_a_picture_share_an_image_id_and_stay_apart():
    present = np.arange(6000) >= 5000
    codes = np.where(present, np.arange(6000) % 256, 0)[:, None].astype(np.int32)
    ids = build({"image": Codes(codes, present, (256,))}, FUSIONS["image"])
    assert len(np.unique(ids.target_codes(), axis=0)) == 6000


def test_export_has_one_row_an_item_under_its_own_id():
    ids = random_ids(FUSIONS["late++"], items=30)
    frame = ids.to_frame(pl.Series([f"sku-{i}" for i in range(30)]))
    assert frame["item_id"][7] == "sku-7"
    assert frame["tokens"].to_list() == ids.tokens.tolist()
    assert frame["semantic_id"].n_unique() == 30


def test_a_layout_of_a_modality_without_codes_is_refused():
    with pytest.raises(RecipeError, match="no codes of 'sound'"):
        build({"text": random_codes(10)}, IdsConfig(fusion="late", modalities=("text", "sound")))
