"""Splits: what is asked was not trained on, and every history ends right before its target."""

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mgrec.configs import SplitConfig
from mgrec.data.dataset import Dataset
from mgrec.data.splits import Cases, split
from mgrec.errors import DataError


def dataset(rows: list[tuple[int, int, int]], timed: bool = True) -> Dataset:
    """Rows are (user, item, moment); items 0 to 9 have themselves as index."""
    log = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")
    items = pl.DataFrame({"item_id": list(range(10))})
    return Dataset.from_frames(items, log if timed else log.drop("timestamp"))


def asked(data: Dataset, cases: Cases) -> dict[int, tuple[list[int], int]]:
    """Return user -> (history, target)."""
    users = data.users.gather(cases.users).to_list()
    histories = [row.tolist() for row in cases.history]
    return dict(zip(users, zip(histories, cases.targets.tolist(), strict=True), strict=True))


def trained(data: Dataset, train) -> dict[int, list[int]]:
    return {user: row.tolist() for user, row in zip(data.users, train, strict=True)}


LOGS = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 9), st.integers(0, 8)), min_size=1, max_size=50
)


def test_leave_one_out_by_hand():
    data = dataset(
        [
            *[(1, 5, 0), (2, 1, 0), (1, 6, 1), (1, 7, 2), (2, 2, 1), (1, 8, 3), (3, 9, 0)],
            *[(4, 1, 0), (4, 1, 1), (4, 1, 2)],
        ]
    )
    parts = split(data, SplitConfig())
    assert trained(data, parts.train) == {1: [5, 6], 2: [1, 2], 3: [9], 4: [1]}
    assert asked(data, parts.validation) == {1: ([5, 6], 7), 4: ([1], 1)}
    assert asked(data, parts.test) == {1: ([5, 6, 7], 8), 4: ([1, 1], 1)}


@settings(max_examples=60, deadline=None)
@given(LOGS)
def test_leave_one_out_puts_every_log_together_again(rows):
    data = dataset(rows, timed=False)
    parts = split(data, SplitConfig())
    test, validation = asked(data, parts.test), asked(data, parts.validation)
    assert test.keys() == validation.keys()
    for user, train, whole in zip(data.users, parts.train, data.log, strict=True):
        if len(whole) < 3:
            assert user not in test
            assert train.tolist() == whole.tolist()
        else:
            history, target = test[user]
            assert [*history, target] == whole.tolist()
            assert validation[user] == (train.tolist(), history[-1])
            assert [*train, history[-1]] == history


def test_global_time_by_hand():
    # Ten interactions: the cuts, at 80% and 90%, are moments 8 and 9.
    data = dataset(
        [
            *[(1, 0, 0), (1, 1, 1), (2, 2, 2), (2, 3, 3), (3, 4, 4), (3, 5, 5), (3, 6, 6)],
            *[(2, 7, 7), (1, 8, 8), (2, 9, 9)],
        ]
    )
    config = SplitConfig(kind="global_time", validation_fraction=0.1, test_fraction=0.1)
    parts = split(data, config)
    assert trained(data, parts.train) == {1: [0, 1], 2: [2, 3, 7], 3: [4, 5, 6]}
    assert asked(data, parts.validation) == {1: ([0, 1], 8)}
    assert asked(data, parts.test) == {2: ([2, 3, 7], 9)}


def test_global_time_asks_only_for_the_first_item_behind_a_cut():
    # The cuts lie at moments 5 and 8; user 2 has nothing before them, user 3 too little in all.
    rows = [(1, item, item) for item in range(10)]
    late = [(2, 1, 8), (2, 2, 8), (2, 3, 9), (3, 1, 0), (3, 2, 9)]
    config = SplitConfig(kind="global_time", validation_fraction=0.2, test_fraction=0.4)
    parts = split(data := dataset(rows + late), config)
    # 15 in the order of time: 0 0 1 2 3 4 | 5 6 7 | 8 8 8 9 9 9
    assert trained(data, parts.train) == {1: [0, 1, 2, 3, 4], 2: [], 3: [1]}
    assert asked(data, parts.validation) == {
        1: (
            [
                0,
                1,
                2,
                3,
                4,
            ],
            5,
        )
    }
    assert asked(data, parts.test) == {1: ([0, 1, 2, 3, 4, 5, 6, 7], 8)}


@settings(max_examples=100, deadline=None)
@given(LOGS, st.sampled_from([0.1, 0.25, 0.4]), st.sampled_from([0.1, 0.3]))
def test_global_time_never_looks_ahead(rows, validation_fraction, test_fraction):
    held = validation_fraction + test_fraction
    data = dataset(rows)
    # The two moments, written down again from the definition.
    ordered = sorted(moment for _, _, moment in rows)
    first, second = (
        ordered[min(len(rows) - 1, round(len(rows) * (1 - part)))] for part in (held, test_fraction)
    )
    assume(first > ordered[0])
    config = SplitConfig(
        kind="global_time", validation_fraction=validation_fraction, test_fraction=test_fraction
    )
    parts = split(data, config)
    expected: dict[str, dict[int, tuple[list[int], int]]] = {"validation": {}, "test": {}}
    train: dict[int, list[int]] = {}
    for user in data.users:
        mine = sorted((row for row in rows if row[0] == user), key=lambda row: row[2])
        train[user] = [item for _, item, moment in mine if moment < first]
        for name, begin, end in (("validation", first, second), ("test", second, 99)):
            before = [item for _, item, moment in mine if moment < begin]
            behind = [item for _, item, moment in mine if begin <= moment < end]
            if before and behind and len(mine) >= 3:
                expected[name][user] = (before, behind[0])
    assert trained(data, parts.train) == train
    assert asked(data, parts.validation) == expected["validation"]
    assert asked(data, parts.test) == expected["test"]


def test_global_time_needs_moments_that_differ():
    rows = [(1, i, 5) for i in range(6)]
    with pytest.raises(DataError, match="timestamp"):
        split(dataset(rows, timed=False), SplitConfig(kind="global_time"))
    with pytest.raises(DataError, match="expected moments that differ"):
        split(dataset(rows), SplitConfig(kind="global_time"))


def test_none_trains_on_everything():
    data = dataset([(1, 1, 0), (1, 2, 1), (1, 3, 2), (2, 4, 0)])
    parts = split(data, SplitConfig(kind="none"))
    assert trained(data, parts.train) == {1: [1, 2, 3], 2: [4]}
    assert len(parts.validation) == len(parts.test) == len(parts.test.history) == 0


@pytest.mark.parametrize("kind", ["leave_one_out", "global_time", "none"])
def test_every_split_keeps_its_types(kind):
    data = dataset([(u, i, i) for u in range(3) for i in range(9)])
    parts = split(data, SplitConfig(kind=kind))
    for cases in (parts.validation, parts.test):
        assert cases.users.dtype == np.int64
        assert cases.targets.dtype == cases.history.items.dtype == np.int32
        assert cases.history.offsets.dtype == np.int64
        assert len(cases.users) == len(cases.history) == len(cases.targets)
    assert len(parts.train) == data.n_users
