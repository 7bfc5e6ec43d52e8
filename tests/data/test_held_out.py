"""Items held out whole leave no trace in what is trained on."""

import numpy as np
import polars as pl
import pytest

from mgrec.data.cold import drawn, without
from mgrec.data.sequences import Sequences
from mgrec.errors import RequestError


def test_the_draw_is_of_its_size_and_its_seed(data):
    rows = drawn(data, 0.2, 3)
    assert len(rows) == 18
    assert (rows == np.unique(rows)).all()
    assert (rows == drawn(data, 0.2, 3)).all()
    assert (rows != drawn(data, 0.2, 4)).any()
    assert len(drawn(data, 1e-6, 0)) == 1


@pytest.mark.parametrize("share", [0, -0.1, 0.6])
def test_a_share_out_of_bounds_is_refused(data, share):
    with pytest.raises(RequestError, match=r"expected above 0 and at most 0\.5"):
        drawn(data, share, 0)


def test_nothing_of_them_is_left_and_everything_else_is(data):
    rows = drawn(data, 0.2, 0)
    warm, gone = without(data, rows), set(data.items["item_id"].gather(rows))
    assert set(warm.items["item_id"]) == set(data.items["item_id"]) - gone

    def taken(of):
        ids = of.items["item_id"]
        return {
            user: ids.gather(of.log[row]).to_list() for row, user in enumerate(of.users.to_list())
        }

    kept = {user: [i for i in items if i not in gone] for user, items in taken(data).items()}
    assert taken(warm) == {user: items for user, items in kept.items() if items}
    assert warm.times is not None
    assert len(warm.times) == len(warm.log.items)
    place = data.index_of(warm.items["item_id"].to_list())
    for name, vectors in warm.embeddings.items():
        assert (vectors.vectors == data.embeddings[name].vectors[place]).all()
        assert (vectors.present == data.embeddings[name].present[place]).all()
    assert warm.fingerprint != data.fingerprint


def test_users_who_took_nothing_else_are_left_out(data):
    from dataclasses import replace

    few = replace(
        data,
        users=pl.Series(["a", "b", "c"]),
        log=Sequences.of([[0, 1], [0, 0], [2]]),
        times=np.arange(5),
    )
    warm = without(few, np.array([0]))
    assert warm.users.to_list() == ["a", "c"]
    assert [row.tolist() for row in warm.log] == [[0], [1]]
    assert warm.times is not None
    assert warm.times.tolist() == [1, 4]
