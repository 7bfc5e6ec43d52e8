"""Which modality codes follow: planted agreements; early fusion where one modality is louder."""

import numpy as np
import pytest

from mgrec import Dataset, Recipe
from mgrec.catalogue import FUSED, build_catalogue
from mgrec.data.features import Codes, Embeddings
from mgrec.data.worlds import make_world
from mgrec.study.dominance import dominance
from tests.conftest import TINY


def codes_of(columns, present=None):
    columns = np.asarray(columns, np.int32)
    present = np.ones(len(columns), bool) if present is None else present
    return Codes(columns, present, tuple(int(c.max()) + 1 for c in columns.T))


def test_equal_codes_agree_wholly_and_independent_ones_by_about_nothing():
    rng = np.random.default_rng(0)
    text, image = rng.integers(0, 16, (2, 3000, 2))
    found = dominance(codes_of(text), {"text": codes_of(text), "image": codes_of(image)})
    assert found.items == 3000
    assert [level.level for level in found.levels] == [1, 2]
    for level in found.levels:
        assert level.own["text"] == level.upto["text"] == pytest.approx(1)
        assert abs(level.own["image"]) < 0.01
    assert abs(found.between) < 0.01
    assert found.leader == "text"


def test_the_second_level_may_follow_another_modality_than_the_first():
    rng = np.random.default_rng(0)
    text, image = rng.integers(0, 16, (2, 3000, 2))
    fused = np.stack([image[:, 0], text[:, 1]], 1)
    first, second = dominance(
        codes_of(fused), {"text": codes_of(text), "image": codes_of(image)}
    ).levels
    assert first.own["image"] > 0.9 > 0.1 > first.own["text"]
    assert second.own["text"] > 0.9 > 0.1 > second.own["image"]


def test_items_that_lack_a_modality_do_not_count():
    rng = np.random.default_rng(0)
    text = rng.integers(0, 8, (400, 1))
    image = text.copy()
    present = np.arange(400) < 200
    image[~present] = 0
    found = dominance(codes_of(text), {"text": codes_of(text), "image": codes_of(image, present)})
    assert found.items == 200
    assert found.levels[0].own["image"] == pytest.approx(1)


@pytest.mark.parametrize("loud", ["text", "image"])
def test_early_fusion_follows_the_modality_that_has_something_to_say(loud):
    world = make_world(0, items=400, users=60, topics=8, looks=8)
    clear, noise = (
        world.embedded(noise=0.3).embeddings,
        np.random.default_rng(1).normal(size=(400, 32)),
    )
    quiet = {"text": "image", "image": "text"}[loud]
    blurred = Embeddings(noise.astype(np.float32), np.ones(400, bool))
    data = Dataset.from_frames(
        world.items.select("item_id"),
        world.interactions,
        embeddings={loud: clear[loud], quiet: blurred},
    )
    codes = {
        name: build_catalogue(data, Recipe.named(name).override(TINY)).codes
        for name in ("text", "image", "early")
    }
    found = dominance(
        codes["early"][FUSED], {name: codes[name][name] for name in ("text", "image")}
    )
    assert found.leader == loud
    assert found.levels[0].own[loud] > found.levels[0].own[quiet] + 0.4
