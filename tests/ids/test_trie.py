"""The trie and its filters against the obvious way of doing the same."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mgrec.ids.filters import Filter
from mgrec.ids.kept import Kept
from mgrec.ids.trie import Trie


def random_trie(seed, items, sizes):
    rng = np.random.default_rng(seed)
    rows = np.unique(np.stack([rng.integers(0, s, items) for s in sizes], 1), axis=0)
    codes = rows[rng.permutation(len(rows))]
    return codes, Trie.build(codes, sizes)


worlds = st.tuples(
    st.integers(0, 1000),
    st.integers(1, 60),
    st.lists(st.integers(1, 5), min_size=1, max_size=5).map(tuple),
)


@settings(max_examples=60, deadline=None)
@given(worlds)
def test_children_are_the_codes_that_follow_a_prefix(world):
    codes, trie = random_trie(*world)
    prefixes = {(): 0}  # prefix -> node
    for level in range(trie.depth):
        following = {}
        for prefix, node in prefixes.items():
            children = trie.children(level, torch.tensor([node]))
            nodes, real = children.nodes(len(trie.levels[level].code) - 1), ~children.padding
            found = children.of(trie.levels[level].code)[real].tolist()
            under = codes[(codes[:, :level] == prefix).all(1)]
            assert found == sorted(set(under[:, level].tolist()))
            following |= {
                (*prefix, code): int(child) for code, child in zip(found, nodes[real], strict=True)
            }
        prefixes = following
    assert set(prefixes) == set(map(tuple, codes.tolist()))


@settings(max_examples=60, deadline=None)
@given(worlds)
def test_nodes_leaves_and_depths_of_items(world):
    codes, trie = random_trie(*world)
    items = torch.arange(len(codes))
    assert (trie.item_of_leaf[trie.leaf_of_item.long()] == items).all()
    for level in range(trie.depth):
        node = trie.nodes_of(items, level)
        assert (trie.levels[level].code[node] == torch.from_numpy(codes[:, level])).all()
        first = trie.levels[level].first
        assert ((first[node] <= trie.leaf_of_item) & (trie.leaf_of_item < first[node + 1])).all()
    ordered = codes[trie.item_of_leaf.numpy()]
    beside = (ordered[1:] == ordered[:-1]).cumprod(1).sum(1)
    assert trie.shared.tolist() == [0, *beside.tolist(), 0]
    for item, needed in enumerate(trie.decided.tolist()):
        sharing = [(codes[:, :n] == codes[item, :n]).all(1).sum() for n in range(1, trie.depth + 1)]
        assert needed == sharing.index(1) + 1


@settings(max_examples=60, deadline=None)
@given(worlds)
def test_bounds_in_full_are_those_asked_for(world):
    codes, trie = random_trie(*world)
    parents = 1
    for level in trie.levels:
        nodes = len(level.code)
        assert (len(level.start), len(level.first), len(level.leaves)) == (
            parents + 1,
            nodes + 1,
            nodes,
        )
        for bounds, at, asked in (
            (level.start, torch.arange(parents), level.children),
            (level.first, torch.arange(nodes), level.span),
        ):
            low, high = asked(at)
            assert (bounds[:-1] == low).all()
            assert (bounds[1:] == high).all()
        assert level.widest == level.start.diff().max()
        assert level.leaves.sum() == len(codes)
        assert (level.node_of(trie.leaf_of_item) < nodes).all()
        parents = nodes


@settings(max_examples=60, deadline=None)
@given(worlds)
def test_a_trie_is_put_together_from_its_own_arrays(world):
    _, trie = random_trie(*world)
    state = trie.state()
    again = Trie.from_state(state)
    assert trie.nbytes == sum(array.nbytes for array in state.values())
    assert state.keys() == again.state().keys()
    assert all(array is state[name] for name, array in again.state().items())
    assert again.depth == trie.depth
    for old, new in zip(trie.levels, again.levels, strict=True):
        for face in ("code", "start", "first", "leaves"):
            assert torch.equal(getattr(old, face), getattr(new, face))


def test_what_says_nothing_is_not_stored():
    codes = np.array([[0, 0, 0, 1], [0, 0, 1, 0], [1, 0, 0, 0], [1, 0, 1, 0]])
    trie = Trie.build(codes, (2, 1, 2, 2))
    top, transition, unique, last = trie.levels
    assert transition.starts is None
    assert transition.firsts is top.firsts
    assert unique.starts is top.firsts
    assert unique.firsts is last.starts is last.firsts is None
    stored = {"start0", "first0", *(f"code{n}" for n in range(4)), "item_of_leaf", "leaf_of_item"}
    assert trie.state().keys() == stored


@pytest.mark.parametrize(
    ("size", "narrowest"),
    [(256, torch.uint8), (257, torch.int16), (32768, torch.int16), (32769, torch.int32)],
)
def test_codes_are_as_narrow_as_their_slot_allows(size, narrowest):
    codes = np.array([[size - 1, 3], [size - 2, 1], [size - 1, 0]])
    trie = Trie.build(codes, (size, 4))
    assert trie.levels[0].code.dtype == narrowest
    assert trie.levels[0].code.tolist() == [size - 2, size - 1]
    assert trie.levels[1].code.dtype == torch.uint8
    assert trie.under((size - 1,)).tolist() == [2, 0]
    assert trie.under((size - 1, 3)).tolist() == [0]
    assert trie.under((size, 3)).tolist() == []


@settings(max_examples=60, deadline=None)
@given(worlds, st.data())
def test_a_filter_allows_what_is_kept_and_not_excluded(world, data):
    _, trie = random_trie(*world)
    n = trie.n_items
    keep = torch.tensor(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    exclude = torch.tensor(
        data.draw(
            st.lists(
                st.lists(st.integers(-1, n - 1), min_size=4, max_size=4), min_size=2, max_size=2
            )
        )
    )
    allow = Filter.of(trie, keep, exclude)
    allowed = keep.repeat(2, 1)
    for user in range(2):
        allowed[user, exclude[user][exclude[user] >= 0]] = False
    assert (allow.items(2) == allowed).all()


def counted(trie, allowed, level, nodes):
    """Return int64 [rows, m]: items under nodes [rows, m] among those of bool [rows, items]."""
    before = torch.zeros(len(allowed), trie.n_items + 1, dtype=torch.int64)
    before[:, 1:] = allowed[:, trie.item_of_leaf.long()].cumsum(1)
    low, high = trie.levels[level].span(nodes)
    return before.gather(1, high) - before.gather(1, low)


def drawn_filter(data, trie, users):
    """Return a filter that may keep, for everybody alike or not, and may exclude."""
    n = trie.n_items
    keep = exclude = None
    mask = st.lists(st.booleans(), min_size=n, max_size=n).map(torch.tensor)
    if data.draw(st.booleans()):
        keep = data.draw(mask)
    elif data.draw(st.booleans()):
        some = [Kept.of(trie, data.draw(mask)) for _ in range(2)]
        keep = [some[data.draw(st.integers(0, 1))] for _ in range(users)]
    if data.draw(st.booleans()):
        row = st.lists(st.integers(-1, n - 1), min_size=9, max_size=9)
        exclude = torch.tensor(data.draw(st.lists(row, min_size=users, max_size=users)))
    allow = Filter.of(trie, keep, exclude)
    if data.draw(st.booleans()):  # as the repeat score takes off what a history holds
        row = st.lists(st.integers(-1, n - 1), min_size=3, max_size=3)
        more = torch.tensor(data.draw(st.lists(row, min_size=users, max_size=users)))
        both = allow.without(more)
        left = allow.items(users)
        for user in range(users):
            left[user, more[user][more[user] >= 0]] = False
        assert (both.items(users) == left).all()
        return both
    return allow


@settings(max_examples=100, deadline=None)
@given(worlds, st.data())
def test_what_has_nothing_allowed_under_it_is_barred(world, data):
    _, trie = random_trie(*world)
    allow = drawn_filter(data, trie, users=3)
    users = torch.arange(3)
    parents = torch.zeros(3, dtype=torch.int64)
    for level in range(trie.depth):
        children = trie.children(level, parents)
        real, nodes = ~children.padding, children.nodes(len(trie.levels[level].code) - 1)
        counts = counted(trie, allow.items(3)[users], level, nodes)
        scores = torch.zeros(real.shape)
        allow.bar(level, children, users, scores)
        left = real & (scores == 0)
        assert (left == (real & (counts > 0))).all()
        row, column = left.nonzero(as_tuple=True)
        users, parents = users[row], nodes[row, column]  # everybody goes on from all that is left


def test_no_rows_have_nothing_to_bar():
    _, trie = random_trie(0, 40, (4, 4, 4))
    allow = Filter.of(trie, torch.ones(trie.n_items, dtype=torch.bool), torch.tensor([[1, 2]]))
    none = torch.empty(0, dtype=torch.int64)
    children, scores = trie.children(1, none), torch.empty(0, 0)
    allow.bar(1, children, none, scores)
    assert children.of(trie.levels[1].code).shape == scores.shape == (0, 0)


def test_a_mask_is_counted_once_and_serves_many_filters():
    _, trie = random_trie(0, 60, (4, 4, 4))
    keep = torch.arange(trie.n_items) % 3 == 0
    kept = Kept.of(trie, keep)
    seen = torch.tensor([[0, 3], [6, -1]])
    assert (Filter.of(trie, kept).items(2) == Filter.of(trie, keep).items(2)).all()
    assert (Filter.of(trie, kept, seen).items(2) == Filter.of(trie, keep, seen).items(2)).all()
    assert Filter.of(trie, kept).kept is kept
    assert kept.empty(1) is kept.empty(1)
    assert (~kept.empty(2)).sum() == keep.sum()


@settings(max_examples=60, deadline=None)
@given(worlds, st.data())
def test_filters_apart_are_each_user_s_own(world, data):
    _, trie = random_trie(*world)
    n = trie.n_items
    mask = st.lists(st.booleans(), min_size=n, max_size=n).map(torch.tensor)
    masks = [data.draw(mask) for _ in range(2)]
    some = [Kept.of(trie, keep) for keep in masks]
    which = data.draw(st.lists(st.integers(0, 1), min_size=4, max_size=4))
    exclude = torch.tensor([[0, n - 1], [-1, -1], [n // 2, 0], [0, 0]])
    together = Filter.of(trie, [some[number] for number in which], exclude)
    for user, number in enumerate(which):
        alone = Filter.of(trie, some[number], exclude[user : user + 1])
        assert (together.items(4)[user] == alone.items(1)[0]).all()


def test_a_prefix_leads_to_its_items_and_an_illegal_one_to_none():
    codes, trie = random_trie(0, 60, (4, 4, 4))
    assert sorted(trie.under(()).tolist()) == list(range(len(codes)))
    assert set(trie.under((2,)).tolist()) == set(np.flatnonzero(codes[:, 0] == 2))
    assert trie.under((9,)).tolist() == []
    assert trie.under((2 + 256,)).tolist() == []  # stored in a byte, in which 258 is 2


def test_repeated_ids_are_refused():
    with pytest.raises(ValueError, match="1 repeated"):
        Trie.build(np.array([[1, 2], [1, 2], [0, 1]]), (4, 4))


def test_one_item_is_a_trie():
    trie = Trie.build(np.array([[2, 0, 1]]), (4, 1, 4))
    assert trie.under((2, 0, 1)).tolist() == [0]
    assert trie.under((2, 0, 1, 0)).tolist() == []  # longer than an ID
    assert trie.decided.tolist() == [1]
    assert [level.widest for level in trie.levels] == [1, 1, 1]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 2**31 - 1), min_size=1, max_size=12).map(tuple),
    st.integers(1, 200),
    st.integers(0, 1000),
)
def test_leaves_stand_in_the_order_of_their_codes(sizes, items, seed):
    rng = np.random.default_rng(seed)
    drawn = np.stack([rng.integers(0, min(size, 3), items) for size in sizes], 1)
    drawn += np.array(sizes) - np.minimum(sizes, 3)  # the largest codes, so that every bit counts
    codes = np.unique(drawn, axis=0)
    shuffled = codes[rng.permutation(len(codes))]
    trie = Trie.build(shuffled, sizes)
    assert (shuffled[trie.item_of_leaf.numpy()] == codes).all()
    assert (shuffled == codes[trie.leaf_of_item.numpy()]).all()


def test_ids_longer_than_one_key_sort_right():
    rng = np.random.default_rng(0)
    codes = np.unique(rng.integers(0, 60000, (500, 6)), axis=0)
    shuffled = codes[rng.permutation(len(codes))]
    trie = Trie.build(shuffled, (65536,) * 6)
    assert (shuffled[trie.item_of_leaf.numpy()] == codes).all()
