"""Tests over users and seeds: against textbook tests, and by how often they are wrong."""

import math

import numpy as np
import pytest
from scipy import stats

from mgrec.errors import RequestError
from mgrec.measure.intervals import paired, ratio
from mgrec.measure.noise import Noise, Scores, difference, from_zero, relative


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
    expected = stats.ttest_rel(a.by_user, b.by_user).pvalue
    assert difference(a, b, moving).p == pytest.approx(expected, rel=1e-3)


def test_without_noise_between_seeds_it_is_the_test_over_users():
    rng = np.random.default_rng(0)
    a, b = (Scores(rng.random((1, 80))) for _ in range(2))
    unknown, fixed = Noise.of([a, b]), [Scores(row.values, drawn=False) for row in (a, b)]
    for test in (difference(a, b, unknown), difference(*fixed, Noise(0.5, 8))):
        assert test == paired(a.by_user, b.by_user)
    for gain in (relative(a, b, unknown), relative(*fixed, Noise(0.5, 8))):
        assert gain == ratio(a.by_user, b.by_user)


def test_interval_and_p_agree_and_turn_round_with_the_rows():
    rng = np.random.default_rng(1)
    for level in np.linspace(-0.4, 0.4, 17):
        a, b = rows_of(rng, (level, 0))
        noise = Noise.of([a, b])
        one, other = difference(a, b, noise), difference(b, a, noise)
        assert (one.p < 0.05) == (one.difference.low > 0 or one.difference.high < 0)
        assert one.p == pytest.approx(other.p)
        assert one.difference.low == pytest.approx(-other.difference.high)


def test_errors_of_users_and_seeds_add_in_squares_with_welchs_degrees_of_freedom():
    """By hand, where both are about as large: another row tells of the seeds."""
    rng = np.random.default_rng(5)
    a, b = (Scores(rng.normal(0, 0.5, (1, 12))) for _ in range(2))
    noise = Noise(0.12, 3)
    each = a.values[0] - b.values[0]
    users, seeds = each.var(ddof=1) / 12, 2 * 0.12**2
    error, freedom = math.sqrt(users + seeds), (users + seeds) ** 2 / (users**2 / 11 + seeds**2 / 3)
    found = difference(a, b, noise)
    assert found.p == pytest.approx(2 * stats.t.sf(abs(each.mean()) / error, freedom))
    half = stats.t.ppf(0.975, freedom) * error
    assert found.difference.high - found.difference.value == pytest.approx(half)
    assert 0.3 < users / seeds < 3


def test_a_row_without_chance_adds_no_noise_and_more_seeds_add_less():
    noise, users = Noise(0.1, 50), np.zeros((1, 40))
    fixed, once, often = Scores(users, drawn=False), Scores(users), Scores(users.repeat(4, 0))

    def width(one, other):
        interval = difference(one, other, noise).difference
        return interval.high - interval.low

    assert width(once, once) == pytest.approx(math.sqrt(2) * width(once, fixed))
    assert width(often, fixed) >= width(once, fixed) / 2
    assert width(often, once) < width(once, once)


@pytest.mark.parametrize("seeds", [2, 3])
def test_equal_recipes_are_told_apart_as_seldom_as_the_test_says(seeds):
    """Of 300 pairs that differ by chance alone; what users alone say is often wrong."""
    rng, users_alone, wrong = np.random.default_rng(2), 0, 0
    for _ in range(300):
        found = rows_of(rng, [0.5] * 5, seeds)
        wrong += difference(found[0], found[1], Noise.of(found)).p < 0.05
        users_alone += paired(found[0].by_user, found[1].by_user, flips=200).p < 0.05
    assert wrong <= 300 * 0.08
    assert users_alone > 300 * 0.3


def test_noisy_rows_among_quiet_ones_are_told_apart_no_more_often():
    rng, wrong, against_fixed, pooled = np.random.default_rng(6), 0, 0, 0
    for _ in range(300):
        noisy, quiet = rows_of(rng, [0.5] * 2), rows_of(rng, [0.5] * 8, noise=0.01)
        noise = Noise.of(noisy + quiet)
        wrong += difference(*noisy, noise).p < 0.05
        level = Scores(np.mean([row.values for row in quiet], (0, 1))[None], drawn=False)
        against_fixed += difference(noisy[0], level, noise).p < 0.05
        short = [Scores(row.values[:1]) for row in noisy]  # of one seed each, they lean on the pool
        pooled += difference(*short, noise).p < 0.05
    assert wrong <= 300 * 0.08
    assert against_fixed <= 300 * 0.08
    assert pooled > 300 * 0.12


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


def test_differences_of_the_same_runs_are_tested_by_their_own_noise():
    moves = np.array([[0.3], [0.35], [0.1]])
    row = Scores(moves + np.zeros((1, 25)))
    expected = stats.ttest_1samp(moves[:, 0], 0)
    assert from_zero(row).p == pytest.approx(expected.pvalue)
    once = Scores(np.random.default_rng(0).normal(0.1, 1, (1, 25)))
    assert from_zero(once) == paired(once.values[0], np.zeros(25))


@pytest.mark.parametrize("gain", [0.8, 1.2, 2.0])
def test_the_interval_of_a_ratio_holds_the_truth_as_often_as_it_says(gain):
    """Users who take much take more of either, so that the ratio weighs on their error too."""
    rng, below, above = np.random.default_rng(4), 0, 0
    for _ in range(300):
        tastes = rng.gamma(1, 1, 60)
        rows = [
            Scores(m * tastes + rng.normal(0, 0.08, (3, 1)) + rng.normal(0, 0.3, (3, 60)))
            for m in (gain, 1.0, 1.0)
        ]
        found = relative(rows[0], rows[1], Noise.of(rows))
        assert found.value == pytest.approx(rows[0].values.mean() / rows[1].values.mean())
        below += found.high < gain
        above += found.low > gain
    assert below <= 300 * 0.05
    assert above <= 300 * 0.05
    assert found.high - found.low < 1.2


def test_the_interval_of_a_ratio_ends_where_the_difference_is_told_from_zero():
    rng = np.random.default_rng(7)
    a, b = (Scores(rng.normal(m, 0.3, (1, 30))) for m in (1.5, 1.0))
    noise = Noise(0.05, 3)
    found = relative(a, b, noise)

    def errors(times):
        """Of users and of seeds, in `a - times * b`."""
        return (a.values[0] - times * b.values[0]).var(ddof=1) / 30, 0.05**2 * (1 + times**2)

    users, seeds = errors(found.value)
    freedom = (users + seeds) ** 2 / (users**2 / 29 + seeds**2 / 3)
    for end in (found.low, found.high):
        t = abs(float((a.values - end * b.values).mean())) / math.sqrt(sum(errors(end)))
        assert t == pytest.approx(stats.t.ppf(0.975, freedom))


def test_what_has_no_ratio_says_so_and_other_users_are_refused():
    nothing, some = flat(0, 0), flat(1, 2)
    noise = Noise.of([nothing, some])
    assert math.isnan(relative(some, nothing, noise).value)
    lost = relative(some, flat(-3, 3.1), Noise.of([flat(-3, 3.1)]))
    assert (lost.low, lost.high) == (-math.inf, math.inf)
    with pytest.raises(RequestError, match="the same users"):
        difference(some, flat(1, 2, users=7), noise)
    with pytest.raises(RequestError, match="the same users"):
        relative(some, flat(1, 2, users=7), noise)
