"""Bootstrap intervals cover what they should; tests say nothing where there is nothing."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mgrec.errors import RequestError
from mgrec.measure.intervals import Interval, bootstrap, holm, paired, ratio
from mgrec.measure.metrics import metric, per_user


def test_interval_is_the_bootstrap_over_users() -> None:
    """Against the plain way: draw users with replacement, one by one."""
    random = np.random.default_rng(0)
    values = metric(random.integers(-1, 25, 400), "NDCG@10")
    drawn = values[random.integers(0, 400, (20_000, 400))].mean(axis=1)
    [found] = bootstrap(values[:, None], resamples=20_000)
    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(np.quantile(drawn, 0.025), abs=0.001)
    assert found.high == pytest.approx(np.quantile(drawn, 0.975), abs=0.001)


def test_coverage_of_the_true_mean() -> None:
    random = np.random.default_rng(1)
    worlds = 400
    covered = 0
    for world in range(worlds):
        hits = (random.random((300, 1)) < 0.2).astype(float)
        [found] = bootstrap(hits, resamples=400, seed=world)
        covered += found.low <= 0.2 <= found.high
    assert 0.91 <= covered / worlds <= 0.98  # 0.95 wanted; four standard errors are .04


def test_more_users_make_it_narrower_and_lower_levels_too() -> None:
    random = np.random.default_rng(2)
    [few] = bootstrap(random.random((50, 1)))
    values = random.random((1250, 1))
    [many] = bootstrap(values)
    [half] = bootstrap(values, level=0.5)
    assert (few.high - few.low) / (many.high - many.low) == pytest.approx(5, rel=0.25)
    assert half.high - half.low < 0.5 * (many.high - many.low)


def test_same_seed_same_interval_and_another_seed_another() -> None:
    values = np.random.default_rng(3).random((200, 2))
    assert bootstrap(values, seed=5) == bootstrap(values, seed=5)
    assert bootstrap(values, seed=5) != bootstrap(values, seed=6)


def test_constant_values_have_no_width_and_no_users_no_value() -> None:
    assert bootstrap(np.full((30, 1), 0.5)) == [Interval(0.5, 0.5, 0.5)]
    [nothing] = bootstrap(np.empty((0, 1)))
    assert np.isnan([nothing.value, nothing.low, nothing.high]).all()


def test_bad_requests_are_refused() -> None:
    with pytest.raises(RequestError, match="finite"):
        bootstrap(np.array([[0.1], [np.nan]]))
    with pytest.raises(RequestError, match="columns"):
        bootstrap(np.zeros(3))
    with pytest.raises(RequestError, match="same users"):
        paired(np.zeros(3), np.zeros(4))
    with pytest.raises(RequestError, match="same users"):
        paired(np.zeros(0), np.zeros(0))


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-1, 12), st.integers(-1, 12)), min_size=1, max_size=60),
    st.integers(0, 9),
)
def test_paired_is_symmetric(ranks: list[tuple[int, int]], seed: int) -> None:
    a, b = metric(np.array(ranks), "NDCG@10").T
    there = paired(a, b, resamples=300, flips=300, seed=seed)
    back = paired(b, a, resamples=300, flips=300, seed=seed)
    assert there.p == back.p
    assert there.difference.value == pytest.approx(-back.difference.value)
    assert there.difference.low <= there.difference.value + 1e-12
    assert there.difference.high >= there.difference.value - 1e-12
    assert 0 < there.p <= 1


def test_the_same_run_twice_differs_in_nothing() -> None:
    values = metric(np.arange(50), "NDCG@10")
    same = paired(values, values)
    assert same.p == 1
    assert (same.difference.low, same.difference.high) == (0, 0)


def test_p_against_all_sign_flips_by_hand() -> None:
    """Differences 1, 2, 3: of eight flips, +++ and --- are as far from zero, so p is 1/4."""
    found = paired(np.array([1.0, 2.0, 3.0]), np.zeros(3), flips=40_000)
    assert found.p == pytest.approx(0.25, abs=0.01)


def test_p_is_uniform_where_the_runs_do_not_differ() -> None:
    random = np.random.default_rng(4)
    ps = []
    for world in range(400):
        a, b = (metric(ranks, "NDCG@10") for ranks in random.integers(-1, 20, (2, 200)))
        ps.append(paired(a, b, resamples=1, flips=300, seed=world).p)
    assert np.abs(np.quantile(ps, [0.25, 0.5, 0.75]) - [0.25, 0.5, 0.75]).max() < 0.09
    assert np.mean(np.array(ps) < 0.05) < 0.09


def test_a_real_difference_is_seen_and_a_paired_one_better_than_an_unpaired_one() -> None:
    random = np.random.default_rng(5)
    skill = random.random(2000)  # users differ far more than the runs do
    better = skill + 0.01 + 0.05 * random.standard_normal(2000)
    found = paired(better, skill)
    assert found.p < 0.001
    assert found.difference.low > 0
    assert found.users == 2000


def test_many_users_are_quick() -> None:
    ranks = np.random.default_rng(6).integers(-1, 60, (2, 22_000))
    begun = time.perf_counter()
    bootstrap(per_user(ranks[0]), resamples=2000)
    paired(metric(ranks[0], "NDCG@20"), metric(ranks[1], "NDCG@20"))
    assert time.perf_counter() - begun < 5  # a fraction of a second on an idle core


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.9]) == pytest.approx([1, 1])
    assert holm([]) == []
    with pytest.raises(RequestError, match="between 0 and 1"):
        holm([0.5, 1.2])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_never_helps_keeps_the_order_and_is_at_most_bonferroni(raw: list[float]) -> None:
    corrected = holm(raw)
    for before, after in zip(raw, corrected, strict=True):
        assert before <= after <= min(1, before * len(raw)) + 1e-12
    assert min(corrected) == pytest.approx(min(1, min(raw) * len(raw)))
    order = np.argsort(raw, kind="stable")
    assert (np.diff(np.array(corrected)[order]) >= 0).all()


def test_a_ratio_is_of_sums_and_its_interval_covers_it():
    rng = np.random.default_rng(0)
    whole = (rng.random(400) < 0.3).astype(float)
    part = whole * (rng.random(400) < 0.6)
    found = ratio(part, whole)
    assert found.value == pytest.approx(part.sum() / whole.sum())
    assert found.low < found.value < found.high
    # Where every user counts alike, it is the mean.
    [mean] = bootstrap(part[whole > 0][:, None])
    assert ratio(part[whole > 0], np.ones(int(whole.sum()))) == mean
    assert np.isnan(ratio(part * 0, whole * 0).value)
    with pytest.raises(RequestError, match="same users"):
        ratio(part, whole[:-1])
