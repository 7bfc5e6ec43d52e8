"""Requests: filters of every kind, alone and together, and variety."""

import dataclasses

import numpy as np
import polars as pl
import pytest

from mgrec import Request
from mgrec.conditions.masks import mask
from mgrec.data.sequences import Sequences
from mgrec.errors import RequestError


def whole(store, user):
    """Return everything, best first: exact, as more beams than items leave nothing out."""
    return list(store.recommend(user=user, k=90))


CONDITIONS = [
    "price < 20",
    'season in ["spring", "summer"] and not tags contains "red"',
    "topic == 1 or category is null",
    'category == "look 2" and price >= 15',
]


@pytest.mark.parametrize("first", [1, 100])
@pytest.mark.parametrize("where", CONDITIONS)
def test_a_condition_keeps_the_order_and_the_scores_of_the_whole_catalogue(
    store, where, first, monkeypatch
):
    monkeypatch.setattr("mgrec.answering.FIRST", first)  # one beam to begin with, or enough
    ids = store.catalogue.items["item_id"].to_list()
    allowed = {ids[row] for row in np.flatnonzero(mask(where, store.catalogue.items))}
    assert 0 < len(allowed) < 90
    for user in store.users.ids[:5]:
        wanted = [item for item in whole(store, user) if item.item_id in allowed][:7]
        [found] = store.recommend_many([Request(user=user, k=7, where=where, beams=1)])
        assert found.exact
        assert found.item_ids == [item.item_id for item in wanted]
        np.testing.assert_allclose(
            [item.score for item in found], [item.score for item in wanted], atol=1e-4
        )


@pytest.mark.parametrize("kept", [1, 3, 10])
@pytest.mark.parametrize("beams", [1, 3, None])
def test_there_are_k_answers_wherever_k_items_are_allowed(store, kept, beams):
    ids = store.catalogue.items["item_id"].to_list()
    rng = np.random.default_rng(kept)
    for user in store.users.ids[:5]:
        only = [ids[row] for row in rng.permutation(90)[:kept]]
        request = Request(user=user, k=10, only=only, beams=beams)
        [found] = store.recommend_many([request])
        wanted = [item.item_id for item in whole(store, user) if item.item_id in only]
        assert found.item_ids == wanted
        listed = ", ".join(f'"{item}"' for item in only)
        assert store.recommend(user=user, where=f"item_id in [{listed}]").item_ids == wanted


def test_many_excluded_items_leave_the_rest(store, monkeypatch):
    ids = store.catalogue.items["item_id"].to_list()
    user = store.users.ids[1]
    usual = store.recommend(user=user, k=20, exclude=ids[:60])
    monkeypatch.setattr("mgrec.questions.BY_NAME", 5)
    assert store.recommend(user=user, k=20, exclude=ids[:60]).item_ids == usual.item_ids
    assert usual.item_ids == [i.item_id for i in whole(store, user) if i.item_id in ids[60:]][:20]


def test_a_batch_of_different_requests_answers_as_each_alone(store, monkeypatch):
    ids = store.catalogue.items["item_id"].to_list()
    users = store.users.ids.to_list()
    requests = [
        Request(user=users[0]),
        Request(user=users[1], k=3, where=CONDITIONS[0]),
        Request(history=ids[3:9], where=CONDITIONS[1], exclude_seen=True),
        Request(history=ids[3:5], where=CONDITIONS[1], exclude=ids[:20]),
        Request(user=users[2], only=ids[::2], where=CONDITIONS[0], k=50),
        Request(user="nobody", where=CONDITIONS[2], k=4),
        Request(history=[], max_per={"category": 1}),
        Request(user=users[3], max_per={"category": 2, "tags": 3}, k=9),
        Request(user=users[4], max_per={"topic": 1}, where=CONDITIONS[0], exclude_seen=True),
        Request(user=users[5], beams=2, k=2, exclude=ids[40:]),
        Request(user=users[6], where="price < 0"),
    ]
    alone = [store.recommend_many([request])[0] for request in requests]
    for masks in (1 << 26, 1):  # all masks in one batch, and one a batch
        monkeypatch.setattr("mgrec.search.jobs.MASKS", masks)
        together = store.recommend_many(requests)
        for one, other in zip(alone, together, strict=True):
            assert one.item_ids == other.item_ids
            assert one.reason == other.reason
            np.testing.assert_allclose([i.score for i in one], [i.score for i in other], atol=1e-4)
    assert len(alone[-1]) == 0
    assert alone[-1].reason == "no item of the catalogue is allowed"
    assert store.recommend_many([]) == []


def greedy(ranked, values, most, k):
    """Take the best whose every value has been taken fewer than `most` times."""
    taken, counts = [], {}
    for item in ranked:
        own = values[item.item_id]
        if len(taken) < k and all(counts.get(value, 0) < most for value in own):
            taken.append(item.item_id)
            for value in own:
                counts[value] = counts.get(value, 0) + 1
    return taken


@pytest.mark.parametrize("first", [1, 4, 100])
@pytest.mark.parametrize(("attribute", "most"), [("category", 1), ("tags", 2), ("topic", 5)])
def test_at_most_so_many_of_a_value_are_taken_greedily(store, attribute, most, first, monkeypatch):
    monkeypatch.setattr("mgrec.answering.FIRST", first)
    items = store.catalogue.items
    rows = zip(items["item_id"], items[attribute].to_list(), strict=True)
    values = {
        item: own if isinstance(own, list) else [] if own is None else [own] for item, own in rows
    }
    for user in store.users.ids[:4]:
        request = Request(user=user, k=20, max_per={attribute: most}, beams=1)
        [found] = store.recommend_many([request])
        assert found.exact
        assert found.item_ids == greedy(whole(store, user), values, most, 20)


def test_an_answer_says_whether_it_is_certain(store, monkeypatch):
    user = store.users.ids[0]
    assert store.recommend(user=user, k=90).exact
    assert not store.recommend_many([Request(user=user, k=5, beams=5)])[0].exact
    monkeypatch.setattr("mgrec.answering.FIRST", 2)
    monkeypatch.setattr("mgrec.answering.WIDEST", 4)
    items = store.catalogue.items
    cheap = mask("price < 30", items)
    seasons = {
        item: [] if season is None else [season]
        for item, season in zip(items["item_id"], items["season"].to_list(), strict=True)
    }
    allowed = set(items["item_id"].to_numpy()[cheap])
    for most in (90, 1):
        certain = 0
        for user in store.users.ids[:30]:
            limits = {"season": most} if most == 1 else {}
            request = Request(user=user, k=4, where="price < 30", beams=2, max_per=limits)
            [found] = store.recommend_many([request])
            assert len(found) == 4
            if found.exact:
                certain += 1
                ranked = [item for item in whole(store, user) if item.item_id in allowed]
                assert found.item_ids == greedy(ranked, seasons, most, 4)
        assert certain < 30


def test_variety_holds_among_popular_items_too(store):
    found = store.recommend(user="nobody", k=30, max_per={"category": 2})
    look = dict(
        zip(store.catalogue.items["item_id"], store.catalogue.items["category"], strict=True)
    )
    counted = pl.Series([look[item] for item in found.item_ids]).drop_nulls().value_counts()
    assert counted["count"].to_list() == [2, 2, 2]
    assert sum(look[item] is None for item in found.item_ids) == 9  # items without one: no limit
    assert [i.score for i in found] == sorted((i.score for i in found), reverse=True)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"where": "prize < 3"}, "Did you mean 'price'?"),
        (
            {"max_per": {"seasons": 1}},
            "max_per: unknown attribute 'seasons'. Did you mean 'season'",
        ),
        ({"max_per": {"season": 0}}, "max_per: season: expected at least 1, found 0"),
        ({"max_per": {"season": "2"}}, "expected a whole number, found '2'"),
        ({"beams": 0}, "beams: expected at least 1"),
        ({"k": True}, "k: expected a whole number"),
        ({"k": 2.0}, "k: expected a whole number, found 2.0"),
        ({"only": "i01"}, "only: expected a list of item ids"),
    ],
)
def test_requests_that_do_not_fit_are_refused_before_any_search(store, fields, message):
    with pytest.raises(RequestError, match=message.replace("?", r"\?")):
        store.check(Request(user=store.users.ids[0], **fields))


def test_a_condition_is_evaluated_once(store):
    first = store.select("price < 20")
    assert store.select("price < 20") is first
    assert store.select("price  < 20") is not first


@pytest.mark.parametrize("first", [1, 100])
@pytest.mark.parametrize("beams", [1, None])
def test_exclude_seen_misses_no_better_item(store, beams, first, monkeypatch):
    monkeypatch.setattr("mgrec.answering.FIRST", first)
    for row, user in enumerate(store.users.ids[:6]):
        history = [store.catalogue.item_ids[item] for item in store.users.log[row]]
        wanted = [item.item_id for item in whole(store, user) if item.item_id not in history]
        for k in (1, 7):
            asked = [
                Request(user=user, k=k, exclude_seen=True, beams=beams),
                Request(history=history, k=k, exclude_seen=True, beams=beams),
                Request(user=user, k=k, exclude=history, beams=beams),
            ]
            for found in store.recommend_many(asked):
                assert found.exact
                assert found.item_ids == wanted[:k]


@pytest.mark.parametrize("beams", [1, 5, 20])
def test_exclude_seen_for_all_users_misses_no_better_item(store, beams, tmp_path):
    few = dataclasses.replace(store, recipe=store.recipe.override([f"search.beams={beams}"]))
    few.recommend_all(tmp_path / "all.parquet", k=4, exclude_seen=True)
    frame = pl.read_parquet(tmp_path / "all.parquet")
    for row, user in enumerate(store.users.ids[:20]):
        history = {store.catalogue.item_ids[item] for item in store.users.log[row]}
        wanted = [item.item_id for item in whole(store, user) if item.item_id not in history]
        assert frame.filter(user_id=user)["item_id"].to_list() == wanted[:4]
    one = few.evaluate(exclude_seen=True).to_frame()
    other = store.evaluate(exclude_seen=True).to_frame()
    assert one.equals(other)


def test_exclude_seen_where_nearly_all_is_seen(store):
    ids = store.catalogue.item_ids
    assert store.recommend(history=ids, k=5, exclude_seen=True).item_ids == []
    left = store.recommend(history=ids[2:], k=5, exclude_seen=True)
    assert sorted(left.item_ids) == sorted(ids[:2])
    assert left.exact
    rows = Sequences.of([np.arange(2, 90), np.arange(90)])
    items, scores = store.rank(rows, 5, exclude_seen=True)
    assert [ids[row] for row in items[0, :2]] == left.item_ids
    assert (items[0, 2:] == -1).all()
    assert (items[1] == -1).all()
    assert (scores[1] == -np.inf).all()


@pytest.mark.parametrize("size", [2, 7, 40])
def test_scores_of_a_batch_are_those_of_single_requests_to_rounding(store, size):
    users = store.users.ids.to_list()[:size]
    together = store.recommend_many([Request(user=user, k=10) for user in users])
    items, scores = store.rank(store.users.log.select(np.arange(size)), 10)
    ids = store.catalogue.item_ids
    for row, (user, answer) in enumerate(zip(users, together, strict=True)):
        alone = store.recommend(user=user, k=10)
        assert answer.item_ids == alone.item_ids == [ids[item] for item in items[row]]
        wanted = [item.score for item in alone]
        assert [item.score for item in answer] == pytest.approx(wanted, abs=2e-5)
        assert scores[row].tolist() == pytest.approx(wanted, abs=2e-5)
