"""Similar items: neighbours by text, by image, by both, by codes alone."""

import numpy as np
import pytest

from mgrec import Dataset, Recommender
from mgrec.data.features import Codes
from mgrec.errors import RequestError


def kinds(world, modality):
    kind = {"text": world.topic, "image": world.look}[modality]
    return dict(zip(world.items["item_id"], kind.tolist(), strict=True))


@pytest.mark.parametrize("modality", ["text", "image"])
def test_neighbours_by_a_modality_are_of_the_planted_kind(trained, world, modality):
    kind, has = kinds(world, modality), world.visible(modality)
    ids = world.items["item_id"].to_list()
    vectors = trained.catalogue.vectors[modality].vectors
    for row in np.flatnonzero(has)[:20]:
        found = trained.similar(ids[row], 10, by=modality)
        assert np.mean([kind[item] == kind[ids[row]] for item in found.item_ids]) > 0.7
        assert ids[row] not in found.item_ids
        assert found.reason == f"similar by {modality}"
        near = vectors @ vectors[row] / np.linalg.norm(vectors, axis=1).clip(1e-9)
        near /= np.linalg.norm(vectors[row])
        near[row], near[~has] = -2, -2
        wanted = np.argsort(-near)[:10]
        assert found.item_ids == [ids[other] for other in wanted]
        np.testing.assert_allclose([i.score for i in found], near[wanted], atol=1e-5)


def test_by_both_both_count(trained, world):
    topic, look = kinds(world, "text"), kinds(world, "image")
    both = world.visible("text") & world.visible("image")
    ids = world.items["item_id"].to_list()
    right = [
        (topic[item] == topic[ids[row]]) and (look[item] == look[ids[row]])
        for row in np.flatnonzero(both)[:30]
        for item in trained.similar(ids[row], 5).item_ids
    ]
    assert np.mean(right) > 0.8  # by chance it would be a ninth


def test_an_item_that_lacks_a_modality_is_compared_by_what_it_has(trained, world):
    ids = world.items["item_id"].to_list()
    bare = ids[int(np.flatnonzero(~world.visible("image"))[0])]
    assert trained.similar(bare).reason == "similar by text"
    with pytest.raises(RequestError, match=f"item '{bare}' has no image, expected one"):
        trained.similar(bare, by="image")
    assert len(trained.similar(ids[0], 1000)) == 89
    assert bare not in trained.similar(ids[1], 1000, by="image").item_ids


def test_a_condition_limits_neighbours(trained, world):
    cheap = set(world.items.filter(world.items["price"] < 20)["item_id"])
    item = world.items["item_id"][3]
    usual = [other for other in trained.similar(item, 90).item_ids if other in cheap]
    assert trained.similar(item, 5, where="price < 20").item_ids == usual[:5]


def test_codes_alone_compare_by_the_prefix_they_share(world, tiny):
    rng = np.random.default_rng(0)
    codes = {
        "text": Codes(rng.integers(0, 3, (90, 3)).astype(np.int32), np.ones(90, bool), (3, 3, 3))
    }
    data = Dataset.from_frames(world.items.drop("text", "image"), world.interactions, codes=codes)
    made = Recommender.fit(data, tiny("text", "training.epochs=1"))
    ids = world.items["item_id"].to_list()
    found = made.similar(ids[4], 90)
    own = codes["text"].codes
    shared = [int(np.logical_and.accumulate(row == own[4]).sum()) for row in own]
    assert len(found) == sum(n > 0 for n in shared) - 1
    assert [i.score for i in found] == pytest.approx(
        [shared[ids.index(i.item_id)] / 3 for i in found]
    )
    assert found[0].score == max(s for row, s in enumerate(shared) if row != 4) / 3


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"item": "no such"}, "item 'no such' is not in the catalogue"),
        ({"item": "i00", "by": "txt"}, "unknown modality 'txt'. Did you mean 'text'"),
        ({"item": "i00", "k": 0}, "k: expected at least 1"),
        ({"item": "i00", "where": "price <"}, "where, character 8"),
    ],
)
def test_what_has_no_neighbours_is_refused(trained, asked, message):
    with pytest.raises(RequestError, match=message):
        trained.similar(**asked)
