"""The planted world tells what it should, hides the rest, and its Bayes rankers are exact."""

import re
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mgrec.configs import SplitConfig
from mgrec.data.bayes import BayesRanker
from mgrec.data.dataset import Dataset
from mgrec.data.descriptions import TOPICS
from mgrec.data.drawings import LOOKS, draw
from mgrec.data.sequences import Sequences
from mgrec.data.splits import leave_one_out
from mgrec.data.worlds import World, make_world
from mgrec.errors import MissingExtra, RequestError


@pytest.fixture(scope="module")
def world() -> World:
    """The world of the demo."""
    return make_world()


def tiny(seed: int = 0, **changes: object) -> World:
    """Four cells of three items."""
    sizes = {"items": 12, "users": 30, "topics": 2, "looks": 2, "history": (1, 8)}
    return make_world(seed, **{**sizes, "missing_text": 0, "missing_image": 0, **changes})


def words(text: str) -> set[str]:
    return set(re.findall(r"[a-z]+", text.lower()))


# ---------------------------------------------------------------- what is planted


def test_the_same_arguments_give_the_same_bytes(tmp_path: Path) -> None:
    folders = [tiny(seed).write(tmp_path / name) for seed, name in ((3, "a"), (3, "b"), (4, "c"))]
    first, again, other = (
        {f.relative_to(root): f.read_bytes() for f in sorted(root.rglob("*.*"))} for root in folders
    )
    assert first == again
    assert len(first) == 12 + 2
    assert all(first[name] != other[name] for name in first)


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    planted = make_world(5, items=60, users=25, topics=3, looks=4)
    data = Dataset.read(planted.write(tmp_path))
    assert data.items["item_id"].to_list() == planted.items["item_id"].to_list()
    np.testing.assert_array_equal(data.log.items, planted.log.items)
    np.testing.assert_array_equal(data.log.offsets, planted.log.offsets)
    np.testing.assert_array_equal(data.times, planted.times)
    assert data.texts() == planted.items["text"].to_list()
    assert data.notes.warnings == ()
    pictures = data.pictures()
    assert [p is not None for p in pictures] == planted.visible("image").tolist()
    for path in filter(None, pictures):
        with Image.open(path) as picture:
            assert (picture.size, picture.mode, picture.format) == ((96, 96), "RGB", "JPEG")


def test_moments_grow_within_a_user(world: World) -> None:
    for begin, end in pairwise(world.log.offsets):
        assert (np.diff(world.times[begin:end]) > 0).all()


def test_a_few_items_lack_a_text_or_a_picture_and_none_lacks_both(world: World) -> None:
    text, image = world.visible("text"), world.visible("image")
    assert (~text).sum() == (~image).sum() == 30
    assert (text | image).all()


def test_the_text_tells_the_topic_and_no_word_of_it_a_look(world: World) -> None:
    of_looks = set().union(*(words(look.name) for look in LOOKS))
    phrases = [(*t.things, *t.tasks, *t.people, *t.places) for t in TOPICS]
    for text, topic in zip(world.items["text"], world.topic, strict=True):
        if text is not None:
            assert not words(text) & of_looks
            found = [sum(phrase.lower() in text.lower() for phrase in each) for each in phrases]
            assert np.argmax(found) == topic
            assert found[topic] >= 3


def test_titles_prices_and_seasons_tell_no_taste(world: World) -> None:
    told = set().union(*(words(look.name) for look in LOOKS), *(words(t.name) for t in TOPICS))
    assert not told & set().union(*map(words, world.items["title"]))
    by_cell = world.items.with_columns(cell=world.cell).group_by("cell").n_unique()
    assert by_cell["season"].min() >= 2
    assert abs(np.corrcoef(world.items["price"], world.topic)[0, 1]) < 0.15
    assert abs(np.corrcoef(world.items["price"], world.look)[0, 1]) < 0.15


def test_the_picture_tells_the_look() -> None:
    def colours(look: int, item: int) -> np.ndarray:
        pixels = np.asarray(draw(LOOKS[look], np.random.default_rng([look, item]))) // 64
        return np.bincount(pixels.reshape(-1, 3) @ [16, 4, 1], minlength=64) / pixels[..., 0].size

    known = np.stack([[colours(look, i) for i in range(8)] for look in range(12)]).mean(1)
    for look in range(12):
        for item in range(100, 105):
            assert np.abs(known - colours(look, item)).sum(1).argmin() == look


def test_no_two_pictures_or_texts_of_a_cell_are_the_same(world: World) -> None:
    assert world.items["text"].drop_nulls().is_unique().all()
    cell = np.flatnonzero(world.cell == 0)
    assert len({world.picture(int(i)).tobytes() for i in cell}) == len(cell) == 10


def test_items_are_spread_evenly_and_popularity_falls_within_a_cell(world: World) -> None:
    assert (np.bincount(world.cell) == 10).all()
    for cell in range(world.cells):
        ranked = np.sort(world.popularity[world.cell == cell])[::-1]
        assert ranked.sum() == pytest.approx(1)
        np.testing.assert_allclose(ranked / ranked[0], np.arange(1.0, 11) ** -3, rtol=0.25)


def test_users_are_as_loyal_as_they_should_be() -> None:
    planted = make_world(1, items=400, users=4000, topics=4, looks=5, history=(2, 4), loyalty=0.7)
    first = planted.log.items[planted.log.offsets[:-1]]
    in_cell = (planted.cell[first] == planted.taste).mean()
    assert in_cell == pytest.approx(0.7 + 0.3 / 20, abs=0.02)
    assert sorted(set(planted.log.lengths.tolist())) == [2, 3, 4]
    assert all(len(set(row.tolist())) == len(row) for row in planted.log)
    assert abs(np.corrcoef(planted.favourite_topic, planted.favourite_look)[0, 1]) < 0.05


def test_repurchases_come_as_often_as_they_should() -> None:
    planted = make_world(1, items=400, users=3000, history=(5, 5), repurchase=0.3)
    rows = planted.log.padded()
    repeated = np.stack([(rows[:, :j] == rows[:, [j]]).any(1) for j in range(5)], axis=1)
    np.testing.assert_allclose(repeated.mean(0), [0, 0.3, 0.3, 0.3, 0.3], atol=0.03)


def test_ready_made_embeddings_point_where_the_kind_says() -> None:
    planted = make_world(2, items=300, users=40)
    data = planted.embedded()
    assert data.modalities == ("text", "image")
    np.testing.assert_array_equal(data.log.items, planted.log.items)
    for modality, kind in (("text", planted.topic), ("image", planted.look)):
        found = data.embeddings[modality]
        np.testing.assert_array_equal(found.present, planted.visible(modality))
        assert not found.vectors[~found.present].any()
        near = found.vectors @ found.vectors.T
        np.fill_diagonal(near, -1)
        right = kind[near.argmax(1)] == kind
        assert right[found.present].mean() > 0.95


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"items": 99}, "items: found 99, expected at least 100"),
        ({"topics": 13}, "topics: found 13, expected at least 1, at most 12"),
        ({"loyalty": 1.0}, "loyalty: found 1"),
        ({"repurchase": -0.1}, "repurchase: found -0.1"),
        ({"history": (5, 4)}, "shortest_history: found 5, expected at least 1, at most 4"),
        ({"history": (5, 1000)}, "longest_history: found 1000"),
        ({"missing_text": 0.6, "missing_image": 0.5}, "missing_image: found 0.5"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(RequestError, match=f"^world: {re.escape(message)}"):
        make_world(**arguments)


def test_pillow_is_asked_for_only_where_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import sys, mgrec.data.worlds as w; w.make_world(); assert 'PIL' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingExtra, match=r"mgrec\[encoders\]"):
        tiny().picture(0)


# ---------------------------------------------------------------- who knows the rule


def spelled_out(world: World, history: list[int]) -> np.ndarray:
    """The probability of each next item, as the module's rule reads, one item at a time."""

    def chance(item: int, before: list[int], taste: int) -> float:
        left = [i for i in range(world.n_items) if i not in before]
        cell = [i for i in left if world.cell[i] == taste]
        fresh = 0.0
        if item in left:
            weight = world.popularity
            loyal = world.loyalty if cell else 0.0
            fresh += (1 - loyal) * weight[item] / weight[left].sum()
            fresh += loyal * weight[item] / weight[cell].sum() if item in cell else 0.0
        again = world.repurchase if before else 0.0
        return again * before.count(item) / max(len(before), 1) + (1 - again) * fresh

    likely = np.ones(world.cells)
    for step, item in enumerate(history):
        likely *= [chance(item, history[:step], taste) for taste in range(world.cells)]
    likely /= likely.sum()
    return np.array(
        [
            sum(p * chance(item, history, taste) for taste, p in enumerate(likely))
            for item in range(world.n_items)
        ]
    )


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 50),
    st.sampled_from([0.0, 0.4]),
    st.sampled_from([0.0, 0.5, 0.9]),
)
def test_probabilities_are_those_of_the_rule(seed: int, repurchase: float, loyalty: float) -> None:
    # Histories are up to 8 of 12 items, cells have 3: they are used up on the way.
    planted = tiny(seed, users=3, repurchase=repurchase, loyalty=loyalty)
    scores = BayesRanker(planted).scores(planted.log)
    for row, history in zip(scores, planted.log, strict=True):
        np.testing.assert_allclose(row, spelled_out(planted, history.tolist()), atol=1e-12)
    np.testing.assert_allclose(scores.sum(1), 1)


@pytest.mark.parametrize("repurchase", [0.0, 0.3])
def test_what_is_promised_is_what_happens(repurchase: float) -> None:
    planted = make_world(
        9, users=3000, missing_text=0, missing_image=0, repurchase=repurchase, history=(6, 9)
    )
    cases = leave_one_out(planted.embedded(), SplitConfig()).test
    ranker = BayesRanker(planted)
    scores, top = ranker.scores(cases.history), ranker.top(cases.history, 10)
    promised = np.take_along_axis(scores, np.maximum(top, 0), 1).sum(1).mean()
    happened = (top == cases.targets[:, None]).any(1).mean()
    assert happened == pytest.approx(promised, abs=0.02)
    liked = ranker.taste(cases.history)
    assert (liked.argmax(1) == planted.taste[cases.users]).mean() == pytest.approx(
        liked.max(1).mean(), abs=0.02
    )


def test_five_interactions_pin_the_taste_down(world: World) -> None:
    liked = BayesRanker(world).taste(world.log.last(5))
    assert (liked.argmax(1) == world.taste).mean() > 0.97


def test_a_ranker_sees_only_what_it_may() -> None:
    planted = make_world(3, items=200, users=100, topics=4, looks=4)
    rng = np.random.default_rng(0)
    other_looks = replace(planted, look=rng.permutation(planted.look))
    other_topics = replace(planted, topic=rng.permutation(planted.topic))
    textless, pictureless = ~planted.visible("text"), ~planted.visible("image")
    other_unseen = replace(
        planted,
        topic=np.where(textless, (planted.topic + 1) % 4, planted.topic),
        look=np.where(pictureless, (planted.look + 1) % 4, planted.look),
    )
    for sees, same, different in (
        (("text",), other_looks, other_topics),
        (("image",), other_topics, other_looks),
        (("text", "image"), other_unseen, other_looks),
    ):
        ours = BayesRanker(planted, sees).scores(planted.log)
        np.testing.assert_array_equal(ours, BayesRanker(same, sees).scores(planted.log))
        assert np.abs(ours - BayesRanker(different, sees).scores(planted.log)).max() > 0.01


def test_lists_hold_what_can_come_best_first_and_rows_do_not_matter_to_each_other() -> None:
    planted = tiny(loyalty=0.5)
    ranker = BayesRanker(planted)
    histories = Sequences.of([[], [3], [5, 1, 0], list(range(11))])
    top, scores = ranker.top(histories, 20), ranker.scores(histories)
    assert (top >= 0).sum(1).tolist() == [12, 11, 9, 1]
    for row, history, chances in zip(top, histories, scores, strict=True):
        ranked = row[row >= 0]
        assert not set(ranked.tolist()) & set(history.tolist())
        assert (np.diff(chances[ranked]) <= 0).all()
        assert (row[len(ranked) :] == -1).all()
        np.testing.assert_array_equal(ranker.top(Sequences.of([history]), 20)[0], row)
    with pytest.raises(RequestError, match="k: found 0"):
        ranker.top(histories, 0)


def test_a_log_tells_what_eyes_cannot_see() -> None:
    planted = make_world(0, items=100, users=600, topics=3, looks=3, history=(8, 8))
    blind = BayesRanker(planted, ("text",)).taste(planted.log)
    told = BayesRanker(planted, ("text",), planted.log).taste(planted.log)
    look = planted.favourite_look

    def right(taste: np.ndarray) -> float:
        return float((taste.reshape(-1, 3, 3).sum(1).argmax(1) == look).mean())

    assert right(blind) < 0.45
    assert right(told) > 0.9


def test_a_ranker_refuses_what_it_does_not_know() -> None:
    with pytest.raises(RequestError, match="sees: found 'sound'"):
        BayesRanker(tiny(), ("sound",))
    with pytest.raises(RequestError, match="log: found 1 users, expected the world's 30"):
        BayesRanker(tiny(), ("text",), Sequences.of([[1]]))


def test_rarely_seen_targets_need_both_modalities(world: World) -> None:
    parts = leave_one_out(world.embedded(), SplitConfig())
    seen = np.bincount(parts.train.items, minlength=world.n_items)[parts.test.targets]

    def recall(*sees: str, log: Sequences | None = None, most: int = 2) -> float:
        top = BayesRanker(world, sees, log).top(parts.test.history, 10)
        return float((top == parts.test.targets[:, None]).any(1)[seen <= most].mean())

    assert (seen <= 2).sum() >= 400
    assert (seen == 0).sum() >= 150
    both = recall("text", "image")
    assert both > 0.95
    assert max(recall("text"), recall("image")) < 0.05
    # Memory of the training log helps, least with what it never held.
    for alone in ("text", "image"):
        assert recall(alone, log=parts.train) < 0.85
        assert recall(alone, log=parts.train, most=0) < 0.55
