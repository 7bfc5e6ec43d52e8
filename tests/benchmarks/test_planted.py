"""The planted shop is what the benchmarks say it is."""

import numpy as np

from benchmarks.planted import embeddings_of, ids_of, make_shop

SHOP = make_shop(users=800, items=400)


def test_the_same_seed_plants_the_same_shop():
    again, other = make_shop(users=800, items=400), make_shop(users=800, items=400, seed=1)
    assert np.array_equal(SHOP.log.items, again.log.items)
    assert not np.array_equal(SHOP.log.items[:100], other.log.items[:100])


def test_histories_are_as_long_as_those_of_beauty():
    lengths = SHOP.log.lengths
    assert lengths.min() >= 5
    assert 8.3 < lengths.mean() < 9.5
    assert lengths.max() > 30


def test_two_of_five_items_follow_from_the_last_within_their_topic():
    assert sorted(SHOP.after) == list(range(400))
    assert np.array_equal(SHOP.topic[SHOP.after], SHOP.topic)
    follows = [SHOP.after[row[:-1]] == row[1:] for row in SHOP.log]
    assert 0.38 < np.concatenate(follows).mean() < 0.5  # some by chance


def test_ids_have_as_many_slots_as_asked_for():
    assert len(ids_of(SHOP, {"text": 3}).slots) == 4
    ids = ids_of(SHOP, {"text": 4, "image": 3})
    assert len(ids.slots) == len(ids.target) == 8
    assert embeddings_of(SHOP, "image").vectors.shape == (400, 1280)
