"""Shared hits and shared lists, counted by hand."""

import numpy as np
import pytest

from mgrec.study.overlap import closer, hits_of, listed, shared


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


def test_lists_copied_from_one_row_are_closer_to_it():
    rng = np.random.default_rng(0)
    text = rng.permuted(np.tile(np.arange(50), (80, 1)), axis=1)[:, :10]
    image = rng.permuted(np.tile(np.arange(50), (80, 1)), axis=1)[:, :10]
    mixed = np.concatenate([text[:, :8], image[:, :2] + 100], axis=1)
    test = closer(mixed, text, image)
    assert test.difference.low > 0.5
    assert test.p < 0.01
    assert closer(mixed, image, text).difference.value == -test.difference.value
