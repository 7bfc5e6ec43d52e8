"""The trie and its filters against the obvious way of doing the same."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mgrec.ids.filters import Filter
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
            nodes, real = trie.children(level, torch.tensor([node]))
            found = trie.levels[level].code[nodes[real]].tolist()
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
    for item, needed in enumerate(trie.decided.tolist()):
        sharing = [(codes[:, :n] == codes[item, :n]).all(1).sum() for n in range(1, trie.depth + 1)]
        assert needed == sharing.index(1) + 1


@settings(max_examples=60, deadline=None)
@given(worlds, st.data())
def test_a_filter_counts_the_allowed_items_under_every_node(world, data):
    codes, trie = random_trie(*world)
    n = len(codes)
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
    for level in range(trie.depth):
        nodes = torch.arange(len(trie.levels[level].code)).repeat(2, 1)
        owner = trie.nodes_of(torch.arange(n), level)
        for user in range(2):
            expected = torch.bincount(owner[allowed[user]], minlength=nodes.shape[1])
            assert (allow.counts(level, nodes)[user] == expected).all()


def test_a_prefix_leads_to_its_items_and_an_illegal_one_to_none():
    codes, trie = random_trie(0, 60, (4, 4, 4))
    assert sorted(trie.under(()).tolist()) == list(range(len(codes)))
    assert set(trie.under((2,)).tolist()) == set(np.flatnonzero(codes[:, 0] == 2))
    assert trie.under((9,)).tolist() == []


def test_repeated_ids_are_refused():
    with pytest.raises(ValueError, match="1 repeated"):
        Trie.build(np.array([[1, 2], [1, 2], [0, 1]]), (4, 4))


def test_ids_longer_than_one_key_sort_right():
    rng = np.random.default_rng(0)
    codes = np.unique(rng.integers(0, 60000, (500, 6)), axis=0)
    shuffled = codes[rng.permutation(len(codes))]
    trie = Trie.build(shuffled, (65536,) * 6)
    assert (shuffled[trie.item_of_leaf.numpy()] == codes).all()
