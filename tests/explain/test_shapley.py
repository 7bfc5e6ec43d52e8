"""Shapley values of games whose shares are known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mgrec.explain.shapley import FEW, shares


@pytest.mark.parametrize("players", [1, 3, FEW, FEW + 1, 40])
def test_where_everybody_adds_his_own_that_is_his_share(players):
    own = np.arange(players) - 1.5
    np.testing.assert_allclose(shares(players, lambda groups: groups @ own), own, atol=1e-9)


@pytest.mark.parametrize("players", [2, 5, 12])
def test_what_only_all_together_achieve_is_shared_evenly(players):
    found = shares(players, lambda groups: groups.all(1).astype(float))
    assert found.sum() == pytest.approx(1)
    if players <= FEW:
        np.testing.assert_allclose(found, 1 / players)


def test_a_pair_shares_what_it_achieves_and_others_get_nothing():
    found = shares(4, lambda groups: 3.0 * (groups[:, 1] & groups[:, 3]))
    np.testing.assert_allclose(found, [0, 1.5, 0, 1.5], atol=1e-12)
    drawn = shares(20, lambda groups: 3.0 * (groups[:, 1] & groups[:, 3]))
    np.testing.assert_allclose(drawn[[1, 3]], 1.5, atol=1e-12)  # an order and its reverse


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 12), st.integers(0, 2**31))
def test_shares_of_any_game_add_up(players, seed):
    weights = np.random.default_rng(seed).normal(size=(players, players))

    def worth(groups):
        return np.tanh(np.einsum("gi,ij,gj->g", groups, weights, groups)) + 0.25

    total = worth(np.ones((1, players), bool)) - worth(np.zeros((1, players), bool))
    assert shares(players, worth, seed).sum() == pytest.approx(total[0])
