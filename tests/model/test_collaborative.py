"""The collaborative modality: what is held out leaves no trace, and who takes what is in it."""

import dataclasses

import numpy as np
import pytest

from mgrec import Recipe
from mgrec.catalogue import build_catalogue
from mgrec.data.sequences import Sequences
from mgrec.model.collaborative import collaborative


def recipe(*settings):
    return Recipe.named("late++-collaborative").override(
        ["quantiser.levels=2", "quantiser.size=8", "content.sasrec_epochs=2", *settings]
    )


def held_out_elsewhere(data, moved):
    """The same data with other items, of the same users, at the places in `moved` from the end."""
    items = data.log.items.copy()
    for place in moved:
        ends = data.log.offsets[1:] - place
        items[ends] = (items[ends] + 7) % data.n_items
    return dataclasses.replace(data, log=Sequences(data.log.offsets, items))


def vectors(data):
    return build_catalogue(data, recipe()).vectors["collaborative"]


def test_held_out_items_leave_no_trace(data):
    assert data.log.lengths.min() >= 3  # everybody's last two are held out
    found = vectors(data)
    other = vectors(held_out_elsewhere(data, (1, 2)))
    assert np.array_equal(found.vectors, other.vectors)
    assert np.array_equal(found.present, other.present)
    # And it is not that nothing leaves a trace.
    changed = vectors(held_out_elsewhere(data, (3,)))
    assert not np.array_equal(found.vectors, changed.vectors)


def test_items_that_train_never_saw_have_none(data):
    ends = np.concatenate([data.log.offsets[1:] - 1, data.log.offsets[1:] - 2])
    only = np.setdiff1d(data.log.items[ends], np.delete(data.log.items, ends))
    rows = [row[row != 5] for row in (data.log[u] for u in range(data.n_users))]
    log = Sequences.of([np.append(row, 5) for row in rows])  # item 5 is everybody's test target
    found = build_catalogue(dataclasses.replace(data, log=log), recipe())
    assert not found.vectors["collaborative"].present[5]
    assert found.vectors["text"].present[5]
    assert "collaborative1:missing" in found.ids.text(5)
    assert not vectors(data).present[only].any()


@pytest.mark.slow
def test_items_taken_by_the_same_users_come_to_lie_together():
    rng = np.random.default_rng(0)
    group = np.repeat([0, 1], 20)
    rows = [20 * (user % 2) + rng.integers(0, 20, 12) for user in range(200)]
    found = collaborative(Sequences.of(rows), 40, epochs=40, seed=0)
    unit = found.vectors / np.linalg.norm(found.vectors, axis=1, keepdims=True)
    like = unit @ unit.T
    same = group[:, None] == group[None]
    np.fill_diagonal(same, False)
    apart = group[:, None] != group[None]
    assert like[same].mean() > like[apart].mean() + 0.3


def test_it_may_be_shuffled_as_a_control_and_not_be_named_by_mistake(data):
    plain, mixed = (
        build_catalogue(data, recipe(*more)) for more in ((), ("content.shuffle=[collaborative]",))
    )
    one, other = (c.vectors["collaborative"].vectors for c in (plain, mixed))
    assert not np.array_equal(one, other)
    assert np.allclose(np.sort(one.sum(1)), np.sort(other.sum(1)), atol=1e-3)
    with pytest.raises(Exception, match=r"content.sources: 'collab' is none of the recipe's"):
        recipe("content.sources.collab=sasrec")
