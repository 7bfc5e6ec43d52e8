"""Every baseline keeps the ranker's contract, and finds what was planted for it."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import mgrec.study.baselines as baselines
from mgrec.data.features import Embeddings
from mgrec.data.sequences import Sequences
from mgrec.errors import RequestError
from mgrec.measure.metrics import ranks_of
from mgrec.measure.ranker import Ranker, best, unseen
from mgrec.study.baselines import ItemKNN, Popularity

ITEMS = 30
RANDOM = np.random.default_rng(0)
TRAIN = Sequences.of([RANDOM.integers(0, ITEMS, 12) for _ in range(40)])
VECTORS = RANDOM.standard_normal((ITEMS, 8)).astype(np.float32)
HISTORY = Sequences.of([[3], [4, 4, 9], list(range(12)), [29, 0], [], [7] * 20])


def embeddings(vectors: NDArray[np.float32], absent: list[int] | None = None) -> Embeddings:
    present = np.ones(len(vectors), bool)
    present[absent or []] = False
    return Embeddings(np.where(present[:, None], vectors, 0).astype(np.float32), present)


def knn(**settings: float) -> ItemKNN:
    return ItemKNN.fit(embeddings(VECTORS), embeddings(VECTORS[:, :3], [1, 2]), **settings)


RANKERS: dict[str, Callable[[], Ranker]] = {
    "popularity": lambda: Popularity.fit(TRAIN, ITEMS),
    "linear": lambda: baselines.linear(TRAIN, ITEMS),
    "item-kNN, last item": lambda: knn(window=1),
    "item-kNN, several": lambda: knn(window=4, decay=0.8),
}


@pytest.fixture(params=RANKERS)
def ranker(request: pytest.FixtureRequest) -> Ranker:
    return RANKERS[request.param]()


def test_lists_hold_distinct_items_and_end_in_padding(ranker: Ranker) -> None:
    top = ranker.top(HISTORY, ITEMS + 5)
    assert top.shape == (len(HISTORY), ITEMS + 5)
    assert top.dtype == np.int64
    for row in top:
        listed = row[row >= 0]
        assert len(set(listed.tolist())) == len(listed)
        assert listed.max(initial=0) < ITEMS
        assert (row[len(listed) :] == -1).all()


def test_a_shorter_list_is_the_beginning_of_a_longer_one(ranker: Ranker) -> None:
    longest = ranker.top(HISTORY, ITEMS)
    for k in (1, 5, 10):
        assert (ranker.top(HISTORY, k) == longest[:, :k]).all()


@pytest.mark.parametrize("exclude_seen", [False, True])
def test_batch_equals_single_in_chunks_of_any_size(
    ranker: Ranker, exclude_seen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = ranker.top(HISTORY, 10, exclude_seen)
    one_by_one = [ranker.top(HISTORY.select(np.array([row])), 10, exclude_seen) for row in range(6)]
    assert (np.concatenate(one_by_one) == whole).all()
    monkeypatch.setattr(baselines, "_NUMBERS", 2 * ITEMS)
    assert (ranker.top(HISTORY, 10, exclude_seen) == whole).all()


def test_seen_items_are_left_out_and_nothing_else(ranker: Ranker) -> None:
    everything, rest = ranker.top(HISTORY, ITEMS), ranker.top(HISTORY, ITEMS, exclude_seen=True)
    for row, seen in enumerate(HISTORY):
        kept = [item for item in everything[row] if item >= 0 and item not in seen]
        assert rest[row].tolist() == kept + [-1] * (ITEMS - len(kept))


def test_no_rows_and_k_below_one(ranker: Ranker) -> None:
    nobody = HISTORY.select(np.empty(0, np.int64))
    assert ranker.top(nobody, 7).shape == (0, 7)
    assert ranker.top(nobody, 7, exclude_seen=True).shape == (0, 7)
    with pytest.raises(RequestError, match="at least 1, found 0"):
        ranker.top(HISTORY, 0)


def test_popularity_counts_and_breaks_ties_in_catalogue_order() -> None:
    train = Sequences.of([[2, 2, 4], [4, 2], [1]])
    assert Popularity.fit(train, 6).top(Sequences.of([[0]]), 6).tolist() == [[2, 4, 1, 0, 3, 5]]


def test_knn_finds_the_planted_neighbours() -> None:
    """Items in ten tight pairs: after an item comes its twin."""
    centres = np.random.default_rng(1).standard_normal((10, 16))
    vectors = np.repeat(centres, 2, axis=0) + 0.01 * np.random.default_rng(2).standard_normal(
        (20, 16)
    )
    ranker = ItemKNN.fit(embeddings(vectors.astype(np.float32)), window=1)
    history = Sequences.of([[item] for item in range(20)])
    assert (ranker.top(history, 1)[:, 0] == np.arange(20) ^ 1).all()


def test_knn_scores_by_the_definition() -> None:
    """Against one cosine at a time; an item's cosine to itself does not count."""
    ranker = ItemKNN.fit(embeddings(VECTORS), window=3, decay=0.5)
    centred = VECTORS - VECTORS.mean(axis=0)
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    history = [8, 2, 5, 2]
    expected = [
        sum(
            weight * float(unit[item] @ unit[taken])
            for weight, taken in zip([0.25, 0.5, 1], history[-3:], strict=True)
            if taken != item
        )
        for item in range(ITEMS)
    ]
    found = ranker.top(Sequences.of([history]), ITEMS)[0]
    assert found.tolist() == np.argsort(-np.array(expected), kind="stable").tolist()


def test_knn_needs_both_modalities_where_each_alone_is_ambiguous() -> None:
    """Items (text, image) in {0..3}^2: the nearest to an item share both only if both count."""
    random = np.random.default_rng(3)
    text, image = random.standard_normal((2, 4, 32))
    names = [(t, v) for t in range(4) for v in range(4) for _ in range(2)]

    def noisy(rows: NDArray[np.float64]) -> Embeddings:
        return embeddings((rows + 0.01 * random.standard_normal(rows.shape)).astype(np.float32))

    texts = noisy(np.stack([text[t] for t, _ in names]))
    images = noisy(np.stack([image[v] for _, v in names]))
    history, twins = Sequences.of([[item] for item in range(32)]), np.arange(32) ^ 1

    def found(*modalities: Embeddings) -> float:
        ranker = ItemKNN.fit(*modalities, window=1)
        return float((ranks_of(ranker.top(history, 1), twins) == 0).mean())

    assert found(texts, images) == 1
    assert max(found(texts), found(images)) < 0.5


def test_knn_never_lists_what_has_no_embedding_and_passes_it_over_in_histories() -> None:
    ranker = ItemKNN.fit(embeddings(VECTORS, absent=[5, 6]), window=2, decay=0.5)
    with_gap = ranker.top(Sequences.of([[3, 5], [5, 6]]), ITEMS)
    without = ranker.top(Sequences.of([[3]]), ITEMS)
    assert not np.isin(with_gap, [5, 6]).any()
    assert with_gap[0].tolist() == without[0].tolist()
    assert (with_gap[1] == -1).all()  # nothing to compare with


def test_knn_refuses_what_does_not_fit() -> None:
    with pytest.raises(RequestError, match=r"\[30, 29\]"):
        ItemKNN.fit(embeddings(VECTORS), embeddings(VECTORS[:29]))
    with pytest.raises(RequestError, match="embeddings"):
        ItemKNN.fit()
    with pytest.raises(RequestError, match="window"):
        knn(window=0)
    with pytest.raises(RequestError, match="decay"):
        knn(decay=0.0)


scores = st.lists(
    st.lists(st.sampled_from([-np.inf, 0.0, 0.5, 0.5, 1.0, 2.0]), min_size=6, max_size=6),
    min_size=1,
    max_size=5,
)


@given(scores, st.integers(1, 8))
def test_best_is_a_stable_sort(rows: list[list[float]], k: int) -> None:
    for row, found in zip(rows, best(np.array(rows, np.float32), k), strict=True):
        ranked = [i for i in np.argsort(-np.array(row), kind="stable") if row[i] > -np.inf]
        assert found.tolist() == (ranked + [-1] * k)[:k]


lists = st.lists(st.permutations([-1, -1, *range(6)]), min_size=1, max_size=4)


@given(lists, st.lists(st.lists(st.integers(0, 8)), min_size=4, max_size=4), st.integers(1, 8))
def test_unseen_keeps_order(top: list[list[int]], histories: list[list[int]], k: int) -> None:
    history = Sequences.of(histories[: len(top)])
    for row, seen, found in zip(top, history, unseen(np.array(top), history, k), strict=True):
        kept = [item for item in row if item >= 0 and item not in seen]
        assert found.tolist() == (kept + [-1] * k)[:k]


def test_linear_knows_what_follows() -> None:
    log = Sequences.of([[n, n + 1, n + 2] for n in range(ITEMS - 2)])
    found = baselines.linear(log, ITEMS).top(Sequences.of([[n] for n in range(ITEMS - 2)]), 1)
    assert (found[:, 0] == np.arange(1, ITEMS - 1)).mean() > 0.9
