"""Adjusted mutual information: planted agreements, and scikit-learn's figures."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import adjusted_mutual_info_score

from mgrec.errors import RequestError
from mgrec.measure.information import adjusted_mutual_information, prefixes

ITEMS = st.lists(
    st.tuples(st.integers(0, 6), st.integers(0, 4), st.integers(0, 40)), min_size=1, max_size=60
)


def test_equal_groupings_agree_wholly_whatever_they_are_called():
    codes = np.random.default_rng(0).integers(0, 16, 500)
    renamed = np.random.default_rng(1).permutation(16)[codes] + 100
    assert adjusted_mutual_information(codes, renamed) == pytest.approx(1)


@pytest.mark.parametrize("groups", [2, 64, 256])
def test_independent_groupings_agree_by_about_nothing(groups):
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, groups, (2, 4000))
    assert abs(adjusted_mutual_information(a, b)) < 0.01


def test_a_share_of_renamed_items_lowers_the_agreement_in_order():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 16, 2000)
    found = []
    for share in (0, 0.2, 0.5, 0.9):
        moved = rng.random(2000) < share
        found.append(
            adjusted_mutual_information(codes, np.where(moved, rng.integers(0, 16, 2000), codes))
        )
    assert found == sorted(found, reverse=True)
    assert found[1] - found[-1] > 0.3


@given(ITEMS)
def test_it_is_scikit_learns(items):
    a, b, c = (np.array(column) for column in zip(*items, strict=True))
    for one, other in ((a, b), (a, c), (b, b)):
        expected = adjusted_mutual_info_score(one, other)
        if _degenerate(one, other):
            continue
        assert adjusted_mutual_information(one, other) == pytest.approx(expected, abs=1e-9)
        assert adjusted_mutual_information(other, one) == pytest.approx(expected, abs=1e-9)


def _degenerate(a, b):
    """Where nothing can be told, so that the quotient is 0 / 0 and anything is right."""
    n = len(a)
    counts = {len(set(a.tolist())), len(set(b.tolist()))}
    return bool(counts & {1, n})


def test_large_uneven_groupings_are_scikit_learns_too():
    rng = np.random.default_rng(3)
    topics = rng.zipf(1.3, 5000) % 300
    codes = np.where(rng.random(5000) < 0.6, topics, rng.integers(0, 256, 5000))
    expected = adjusted_mutual_info_score(topics, codes)
    assert adjusted_mutual_information(topics, codes) == pytest.approx(expected, abs=1e-9)


def test_no_item_is_no_figure_and_other_items_are_refused():
    assert math.isnan(adjusted_mutual_information(np.zeros(0, int), np.zeros(0, int)))
    with pytest.raises(RequestError, match=r"\[3\] and \[2\]"):
        adjusted_mutual_information(np.zeros(3, int), np.zeros(2, int))


def test_a_prefix_is_one_group_of_the_levels_up_to_it():
    codes = np.array([[0, 1, 5], [0, 1, 6], [0, 2, 5], [3, 1, 5]])
    assert prefixes(codes, 1).tolist() == [0, 0, 0, 1]
    assert prefixes(codes, 2).tolist() == [0, 0, 1, 2]
    assert prefixes(codes, 3).tolist() == [0, 1, 2, 3]
