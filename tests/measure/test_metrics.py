"""Metrics from ranks, and the slices that they are looked at in."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mgrec.data.sequences import Sequences
from mgrec.errors import RequestError
from mgrec.measure.metrics import COLUMNS, MISS, metric, per_user, ranks_of, with_intervals
from mgrec.measure.slices import MEANING, slices


def test_ranks_are_places_in_the_list() -> None:
    top = np.array([[7, 3, 5], [7, 3, 5], [7, 3, 5]])
    assert ranks_of(top, np.array([7, 5, 9])).tolist() == [0, 2, MISS]


def test_padding_never_matches_even_a_target_that_is_unknown() -> None:
    top = np.array([[4, -1, -1], [-1, 4, -1], [-1, -1, -1]])
    assert ranks_of(top, np.array([-1, 4, 0])).tolist() == [MISS, 1, MISS]


def test_a_repeated_item_counts_once_and_wastes_its_second_place() -> None:
    top = np.array([[6, 6, 2, 6], [6, 6, 2, 6]])
    assert ranks_of(top, np.array([6, 2])).tolist() == [0, 2]


def test_empty_lists_and_no_cases() -> None:
    assert ranks_of(np.empty((2, 0), np.int64), np.array([1, 2])).tolist() == [MISS, MISS]
    assert ranks_of(np.empty((0, 5), np.int64), np.empty(0, np.int64)).tolist() == []


def test_lists_of_other_cases_are_refused() -> None:
    with pytest.raises(RequestError, match=r"\[2, 3\] and \[3\]"):
        ranks_of(np.zeros((2, 3), np.int64), np.zeros(3, np.int64))


def test_columns_are_the_published_ones_in_order() -> None:
    published = "Recall@5 Recall@10 Recall@20 NDCG@5 NDCG@10 NDCG@20 MRR@10 Hit@5"
    assert " ".join(COLUMNS) == published


def test_values_by_hand() -> None:
    ranks = np.array([0, 4, 5, 9, 10, 19, 20, MISS])
    by_hand = {
        "Recall@5": [1, 1, 0, 0, 0, 0, 0, 0],
        "Recall@10": [1, 1, 1, 1, 0, 0, 0, 0],
        "Recall@20": [1, 1, 1, 1, 1, 1, 0, 0],
        "NDCG@10": [1, 1 / math.log2(6), 1 / math.log2(7), 1 / math.log2(11), 0, 0, 0, 0],
        "MRR@10": [1, 1 / 5, 1 / 6, 1 / 10, 0, 0, 0, 0],
        "Hit@5": [1, 1, 0, 0, 0, 0, 0, 0],
    }
    found = dict(zip(COLUMNS, per_user(ranks).T, strict=True))
    for name, expected in by_hand.items():
        np.testing.assert_allclose(found[name], expected, err_msg=name)


@given(st.lists(st.integers(-1, 60), min_size=1, max_size=50))
def test_metrics_agree_with_their_definitions(ranks: list[int]) -> None:
    known = np.array(ranks)
    for name in (*COLUMNS, "MRR@1", "NDCG@50"):
        values, cutoff = metric(known, name), int(name.split("@")[1])
        assert ((values == 0) == ((known < 0) | (known >= cutoff))).all()
        assert values.max() <= 1
        better = np.where(known > 0, known - 1, known)
        assert (metric(better, name) >= values).all()  # a higher place is never worth less
    assert (metric(known, "MRR@10") <= metric(known, "NDCG@10")).all()
    assert (metric(known, "NDCG@10") <= metric(known, "Recall@10")).all()


@pytest.mark.parametrize("name", ["Precision@5", "NDCG", "NDCG@0", "NDCG@ten", "ndcg@10"])
def test_an_unknown_metric_is_refused_by_name(name: str) -> None:
    with pytest.raises(RequestError, match=name):
        metric(np.array([0]), name)


def test_with_intervals_means_and_bounds() -> None:
    ranks = np.random.default_rng(0).integers(-1, 30, 500)
    table = with_intervals(ranks, resamples=300)
    assert tuple(table) == COLUMNS
    for name, interval in table.items():
        assert interval.value == pytest.approx(metric(ranks, name).mean())
        assert interval.low < interval.value < interval.high
    assert table["Hit@5"] == table["Recall@5"]  # the same resamples for every column


# Item i is taken i times, so that 0 is cold, 1 and 2 are seldom and 39 is the most popular.
POPULAR = Sequences.of([[item] * item for item in range(40)])


def test_slices_by_popularity_have_the_planted_members() -> None:
    targets = np.arange(40)
    found = slices(targets, Sequences.of([[1]] * 40), POPULAR, 40, {})
    members = {name: np.flatnonzero(mask).tolist() for name, mask in found.items()}
    assert members["cold"] == [0]
    assert members["seldom"] == [1, 2]
    assert members["rare"] == [0, 1, 2]
    assert members["tail"] == list(range(32))
    assert members["middle"] == list(range(32, 38))
    assert members["head"] == [38, 39]
    assert set(MEANING) <= set(members)


def test_items_of_equal_count_are_never_parted() -> None:
    train = Sequences.of([[item, item] for item in range(10)])
    found = slices(np.arange(10), Sequences.of([[0]] * 10), train, 10, {})
    assert found["tail"].all()
    assert "head" not in found
    assert "cold" not in found


@given(st.lists(st.integers(0, 19), max_size=200), st.lists(st.integers(0, 19), min_size=1))
def test_head_middle_tail_and_lengths_each_cover_every_case_once(
    taken: list[int], targets: list[int]
) -> None:
    lengths = Sequences.of([[0] * (17 * case % 130) for case in range(len(targets))])
    found = slices(np.array(targets), lengths, Sequences.of([taken]), 20, {})
    for group in (["head", "middle", "tail"], [name for name in found if "history" in name]):
        covered = sum(found[name].astype(int) for name in group if name in found)
        assert (covered == 1).all()


def test_slices_by_history_length_and_by_what_is_missing() -> None:
    history = Sequences.of([[], [0] * 4, [0] * 5, [0] * 99, [0] * 100])
    has = {"text": np.ones(5, bool), "image": np.array([True, False, True, True, False])}
    found = slices(np.arange(5), history, Sequences.of([[0]]), 5, has)
    assert found["history 0-4"].tolist() == [True, True, False, False, False]
    assert found["history 5-9"].tolist() == [False, False, True, False, False]
    assert found["history 50-99"].tolist() == [False, False, False, True, False]
    assert found["history 100 and more"].tolist() == [False, False, False, False, True]
    assert found["without image"].tolist() == [False, True, False, False, True]
    assert "without text" not in found  # nobody is in it
