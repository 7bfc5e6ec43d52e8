"""Tests over users and seeds: against textbook tests, and by how often they are wrong."""

import math

import numpy as np
import pytest
from scipy import stats

from mgrec.errors import RequestError
from mgrec.measure.intervals import paired, ratio
from mgrec.measure.noise import Noise, Scores, difference, relative


def flat(*means, users=30):
    """A row whose users all score the same: what moves is the seed's."""
    return Scores(np.tile(np.array(means, float)[:, None], (1, users)))


def rows_of(rng, levels, seeds=3, users=60, noise=0.1, spread=0.3):
    """Rows of the same users, whose tastes are shared, with chance in every run."""
    tastes = rng.normal(0, spread, users)
    return [
        Scores(
            level
            + tastes
            + rng.normal(0, noise, (seeds, 1))
            + rng.normal(0, spread / 3, (1, users))
        )
        for level in levels
    ]


def test_noise_is_the_deviation_within_rows_pooled_over_them():
    noise = Noise.of([flat(1, 3), flat(10, 10, 16), flat(7), Scores(np.ones((1, 9)), drawn=False)])
    assert noise.freedom == 3
    assert noise.deviation == pytest.approx(math.sqrt((1 + 1 + 4 + 4 + 16) / 3))
    assert not Noise.of([flat(1), flat(2)]).known


def test_where_users_are_all_alike_it_is_students_t_of_the_seeds():
    a, b = (0.1, 0.3, 0.2), (0.5, 0.3, 0.35, 0.6)
    found = difference(flat(*a), flat(*b), Noise.of([flat(*a), flat(*b)]))
    expected = stats.ttest_ind(a, b)
    assert found.p == pytest.approx(expected.pvalue)
    interval = expected.confidence_interval(0.95)
    ends = found.difference.low, found.difference.high
    assert ends == pytest.approx((interval.low, interval.high))


def test_where_seeds_hardly_move_it_is_students_t_of_the_users():
    rng = np.random.default_rng(0)
    a, b = (Scores(np.tile(rng.normal(m, 1, (1, 50)), (2, 1))) for m in (0, 0.3))
    moving = Noise(1e-9, 4)
    expected = stats.ttest_rel(a.users, b.users).pvalue
    assert difference(a, b, moving).p == pytest.approx(expected, rel=1e-3)


def test_without_noise_between_seeds_it_is_the_test_over_users():
    rng = np.random.default_rng(0)
    a, b = (Scores(rng.random((1, 80))) for _ in range(2))
    unknown, fixed = Noise.of([a, b]), [Scores(row.values, drawn=False) for row in (a, b)]
    for test in (difference(a, b, unknown), difference(*fixed, Noise(0.5, 8))):
        assert test == paired(a.users, b.users)
    for gain in (relative(a, b, unknown), relative(*fixed, Noise(0.5, 8))):
        assert gain == ratio(a.users, b.users)


def test_interval_and_p_agree_and_turn_round_with_the_rows():
    rng = np.random.default_rng(1)
    for level in np.linspace(-0.4, 0.4, 17):
        a, b = rows_of(rng, (level, 0))
        noise = Noise.of([a, b])
        one, other = difference(a, b, noise), difference(b, a, noise)
        assert (one.p < 0.05) == (one.difference.low > 0 or one.difference.high < 0)
        assert one.p == pytest.approx(other.p)
        assert one.difference.low == pytest.approx(-other.difference.high)


@pytest.mark.parametrize(("seeds", "rows"), [(3, 6), (2, 4)])
def test_equal_recipes_are_told_apart_as_seldom_as_the_test_says(seeds, rows):
    """Of 300 pairs that differ by chance alone; what users alone say is often wrong."""
    rng, level, users_alone, wrong = np.random.default_rng(2), 0.05, 0, 0
    for _ in range(300):
        found = rows_of(rng, [0.5] * rows, seeds)
        noise = Noise.of(found)
        wrong += difference(found[0], found[1], noise).p < level
        users_alone += paired(found[0].users, found[1].users, flips=400).p < level
    assert wrong <= 300 * 0.08
    assert users_alone > 300 * 0.3


def test_one_seed_each_is_tested_by_what_other_rows_tell_of_seeds():
    rng, wrong, found = np.random.default_rng(3), 0, 0
    for _ in range(200):
        noise = Noise.of(rows_of(rng, [0.5] * 6))
        same, other = rows_of(rng, (0.5, 0.5), seeds=1)
        wrong += difference(same, other, noise).p < 0.05
        better, worse = rows_of(rng, (1.2, 0.5), seeds=1)
        found += difference(better, worse, noise).p < 0.05
    assert wrong <= 200 * 0.09
    assert found >= 200 * 0.95


def test_the_interval_of_a_ratio_holds_the_truth_as_often_as_it_says():
    rng, held = np.random.default_rng(4), 0
    for _ in range(300):
        found = rows_of(rng, [1.0, 0.8, 0.9, 1.1])
        gain = relative(found[0], found[1], Noise.of(found))
        assert gain.value == pytest.approx(found[0].users.mean() / found[1].users.mean())
        held += gain.low <= 1.0 / 0.8 <= gain.high
    assert held >= 300 * 0.92


def test_a_ratio_to_nothing_is_not_a_number_and_other_users_are_refused():
    nothing, some = flat(0, 0), flat(1, 2)
    noise = Noise.of([nothing, some])
    assert math.isnan(relative(some, nothing, noise).value)
    with pytest.raises(RequestError, match="the same users"):
        difference(some, flat(1, 2, users=7), noise)
