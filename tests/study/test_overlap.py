"""Shared hits and shared lists, counted by hand."""

import numpy as np
import pytest

from mgrec.study.overlap import hits_of, listed, shared
from mgrec.study.relations import Predictions, nearer, overlap_of


def test_a_hit_is_among_the_first_ten():
    assert hits_of(np.array([0, 9, 10, 19, -1])).tolist() == [1, 1, 0, 0, 0]


def test_of_our_hits_the_share_that_is_theirs():
    ours = np.array([[1, 1, 1, 1, 0, 0]], float)
    theirs = np.array([[1, 0, 0, 0, 1, 1]], float)
    assert shared(ours, theirs).value == pytest.approx(1 / 4)
    assert shared(theirs, ours).value == pytest.approx(1 / 3)
    assert shared(ours, ours).value == 1
    assert np.isnan(shared(ours * 0, theirs).value)


def test_seeds_are_compared_each_with_its_own():
    ours = np.array([[1, 0, 0], [0, 1, 1]], float)
    theirs = np.array([[1, 0, 0], [1, 0, 1]], float)
    assert shared(ours, theirs).value == pytest.approx(2 / 3)


def test_lists_share_items_wherever_they_stand_and_ends_are_no_items():
    a = np.array([[1, 2, 3, 4], [5, 6, -1, -1], [-1, -1, -1, -1]])
    b = np.array([[4, 3, 9, 9], [6, -1, -1, -1], [1, -1, -1, -1]])
    assert listed(a, b).tolist() == [0.5, 0.5, 0]
    assert listed(a, a).tolist() == [1, 1, 0]
    twenty = np.arange(20)[None]
    assert listed(twenty, twenty[:, ::-1]).tolist() == [0]  # only the first ten count


def predicted(lists):
    hits = {seed: np.ones(len(rows)) for seed, rows in enumerate(lists)}
    return Predictions(hits, dict(enumerate(lists)))


def test_a_row_is_compared_with_itself_under_its_next_seed():
    first, second = (np.arange(10)[None] + start for start in (0, 5))
    ours = predicted([first, second])
    found = overlap_of("late", "late", ours, ours.rolled())
    assert found.lists.value == 0.5
    assert overlap_of("late", "late", ours, ours).lists.value == 1


def test_only_seeds_of_both_count_and_lists_that_were_not_kept_are_no_figure():
    first, second = (np.arange(10)[None] + start for start in (0, 5))
    found = overlap_of("late", "text", predicted([first, second]), predicted([first]))
    assert found.lists.value == 1
    bare = Predictions({0: np.ones(1)}, {})
    assert overlap_of("late", "text", predicted([first]), bare).lists is None


def test_the_nearer_row_is_told_where_other_seeds_would_not_turn_it():
    text, image = (np.tile(np.arange(10) + start, (30, 1)) for start in (0, 10))

    def mixed(*counts):
        """Lists that share so many items with the text's, and the rest with the image's."""
        rows = [np.concatenate([text[:, :n], image[:, : 10 - n]], 1) for n in counts]
        return nearer(predicted(rows), predicted([text] * 3), predicted([image] * 3))

    assert mixed(7, 8, 8).p < 0.05
    assert mixed(7, 8, 8).difference.value == pytest.approx((0.4 + 0.6 + 0.6) / 3)
    assert mixed(3, 2, 2).difference.value == pytest.approx(-(0.4 + 0.6 + 0.6) / 3)
    assert mixed(5, 10, 6).p > 0.05
    assert mixed(8).p < 0.05  # one seed: over users alone
    assert nearer(Predictions({0: np.ones(1)}, {}), predicted([text]), predicted([image])) is None
