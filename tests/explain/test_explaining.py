"""Explanations: parts that add up, and the planted cause by its name."""

import json
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

from mgrec import Recipe, Recommender, Request
from mgrec.data.features import Embeddings
from mgrec.data.sequences import Sequences
from mgrec.data.worlds import make_world
from mgrec.errors import RequestError
from mgrec.explain.explanation import REST

STRATEGIES = ["text", "early", "late++", "paper-late++"]


@pytest.fixture(scope="module")
def every(data, tiny, trained):
    """A recommender of each kind, hardly trained."""
    made = {
        name: Recommender.fit(data, tiny(name, "training.epochs=1", "model.layers=1"))
        for name in STRATEGIES
    }
    repeat = tiny("text", "training.epochs=1", "model.repeat=true")
    return made | {"experts": trained, "repeat score": Recommender.fit(data, repeat)}


@pytest.mark.parametrize("kind", [*STRATEGIES, "experts", "repeat score"])
def test_every_side_of_an_explanation_adds_up_to_the_score(every, kind):
    made = every[kind]
    rng = np.random.default_rng(0)
    ids = made.catalogue.items["item_id"].to_list()
    for length in (1, 2, 7, 30):
        history = [ids[row] for row in rng.permutation(90)[:length]]
        scores = {i.item_id: i.score for i in made.recommend(history, k=90)}
        for item in (ids[rng.integers(90)], history[-1]):
            why = made.explain(item, history)
            assert why.score == pytest.approx(scores[item], abs=1e-4)
            read = history[-made.recipe.model.history :]
            assert [part.item_id for part in why.past] == read
            for side in (why.past, why.modalities, (*why.levels, *why.experts)):
                moved = sum(part.moved for part in side)
                assert moved == pytest.approx(why.moved, abs=1e-6)
            generated = sum(level.log_prob for level in why.levels)
            assert generated == pytest.approx(why.generated, abs=1e-9)
            voted = sum(expert.weight * expert.log_prob for expert in why.experts)
            assert why.generated + voted == pytest.approx(why.score, abs=1e-9)
            weights = 1 + sum(expert.weight for expert in why.experts)
            row = made.catalogue.index_of([item])[0]
            assert why.base == pytest.approx(weights * made.popularity.logs[row], abs=1e-4)


@pytest.fixture(scope="module")
def grown(store):
    """The store and items that training never saw, which experts know by their content."""
    rows = [3, 40, 77]
    catalogue = store.catalogue
    items = catalogue.items[rows].with_columns(item_id=pl.Series(["new1", "new2", "new3"]))
    ready = {}
    for name, known in catalogue.vectors.items():
        scaler = catalogue.scalers[name]
        raw = known.vectors[rows] * np.float32(scaler.scale) + scaler.mean
        ready[name] = Embeddings(raw, known.present[rows])
    return store.add_items(items, embeddings=ready)


def test_items_added_after_training_are_explained_as_they_are_scored(grown):
    ids = grown.catalogue.item_ids
    assert grown.model.shares.by_content is not None
    for user in grown.users.ids[:4]:
        scores = {i.item_id: i.score for i in grown.recommend(user=user, k=len(ids))}
        for item in ("new1", "new2", "new3", ids[5]):
            why = grown.explain(item, user=user)
            assert why.score == pytest.approx(scores[item], abs=1e-4)
            for side in (why.past, why.modalities, (*why.levels, *why.experts)):
                moved = sum(part.moved for part in side)
                assert moved == pytest.approx(why.moved, abs=1e-6)


@pytest.mark.parametrize("first", [1, 100])
def test_filters_stay_exact_where_items_were_added(grown, first, monkeypatch):
    monkeypatch.setattr("mgrec.answering.FIRST", first)
    for user in grown.users.ids[:6]:
        every = grown.recommend(user=user, k=93).item_ids
        some = set(every[::4]) | {"new1", "new2", "new3"}
        for k in (1, 3, 10):
            asked = Request(user=user, k=k, only=some, beams=1)
            [found] = grown.recommend_many([asked])
            assert found.exact
            assert found.item_ids == [item for item in every if item in some][:k]


def test_alone_is_what_is_lost_without_one_item(trained, data):
    ids = data.items["item_id"].to_list()
    history, item = [ids[3], ids[17], ids[40]], ids[5]
    why = trained.explain(item, history)
    for place, part in enumerate(why.past):
        less = [other for at, other in enumerate(history) if at != place]
        assert part.alone == pytest.approx(why.score - trained.explain(item, less).score, abs=1e-4)


@pytest.mark.parametrize("given", [{"history": []}, {"user": "nobody"}, {"history": ["no such"]}])
def test_without_a_known_history_popularity_is_all_there_is(trained, data, given):
    item = data.items["item_id"][4]
    why = trained.explain(item, **given)
    scores = {i.item_id: i.score for i in trained.recommend(k=90, **given)}
    assert why.score == why.base == pytest.approx(scores[item])
    assert why.past == why.modalities == why.levels == ()
    assert "popularity alone" in " ".join(why.words())
    assert "popularity alone" in why.picture()


@pytest.mark.parametrize(
    ("item", "given", "message"),
    [
        ("no such", {"history": []}, "item 'no such' is not in the catalogue"),
        ("i01", {}, "either a history or a user"),
        ("i01", {"history": "i02"}, "expected a list of item ids"),
    ],
)
def test_what_cannot_be_explained_is_refused(trained, item, given, message):
    with pytest.raises(RequestError, match=message):
        trained.explain(item, **given)


def learned(topics, looks, users=60):
    """Train on a world of so many topics, told by texts, and looks, told by pictures.

    Returns the first answer's explanation for some users, and each item's cell.
    """
    world = make_world(1, items=200, users=400, topics=topics, looks=looks)
    recipe = Recipe.named("demo").override(
        [
            "training.epochs=20",
            "training.precision=float32",
            "alignment.epochs=2",
            "quantiser.size=8",
            "model.dim=32",
            "model.head_dim=16",
            "model.hidden=64",
            "model.dropout=0.2",
            "model.experts.views=[]",
            "model.history_embeddings=true",
        ]
    )
    made = Recommender.fit(world.embedded(), recipe)
    best = {user: made.recommend(user=user, k=1)[0].item_id for user in made.users.ids[:users]}
    cells = dict(zip(world.items["item_id"], world.cell.tolist(), strict=True))
    return [made.explain(item, user=user) for user, item in best.items()], cells


def check_past_items_are_named(explained, cell):
    """Where some items were taken for another reason than taste, it is not they that count."""
    right, chance = [], []
    for why in explained:
        same = [cell[part.item_id] == cell[why.item_id] for part in why.past]
        if 0 < sum(same) < len(same):
            right.append(same[int(np.argmax([part.moved for part in why.past]))])
            chance.append(np.mean(same))
    assert len(right) > 25
    assert np.mean(chance) < 0.85
    assert np.mean(right) > 0.95


@pytest.mark.slow
@pytest.mark.parametrize(
    ("topics", "looks", "cause", "other"), [(8, 1, "text", "image"), (1, 8, "image", "text")]
)
def test_the_planted_cause_is_named(topics, looks, cause, other):
    explained, cell = learned(topics, looks)
    moved = [{part.name: part.moved for part in why.modalities} for why in explained]
    assert np.mean([parts[cause] > parts[other] for parts in moved]) > 0.9
    check_past_items_are_named(explained, cell)


@pytest.mark.slow
def test_the_planted_cause_is_named_where_tastes_lie_in_both_modalities():
    explained, cell = learned(4, 4, users=200)
    moved = [{part.name: part.moved for part in why.modalities} for why in explained]
    assert np.mean([parts["text"] for parts in moved]) > 0.5
    assert np.mean([parts["image"] for parts in moved]) > 0.5
    check_past_items_are_named(explained, cell)


def test_words_and_dictionary_say_what_the_numbers_say(trained, data):
    user = data.users[2]
    item = trained.recommend(user=user, k=1)[0].item_id
    why = trained.explain(item, user=user)
    said = " ".join(why.words())
    most = max(why.past, key=lambda part: abs(part.moved))
    assert f"{most.item_id}) ({most.moved:+.2f})" in said
    assert f"{why.score:.2f}" in said
    for name in ("text", "image", REST):
        assert f"{name} (" in said
    found = json.loads(json.dumps(why.to_dict()))
    assert found["words"] == why.words()
    assert found["past"][0]["title"] == why.past[0].title
    assert sum(part["moved"] for part in found["levels"] + found["experts"]) == pytest.approx(
        found["moved"], abs=1e-4
    )


def test_a_picture_is_a_well_formed_drawing_whatever_items_are_called(trained, data):
    user = data.users[2]
    why = trained.explain(data.items["item_id"][8], user=user)
    hostile = "</text><script>alert(1)</script>&\x00\ud800\n" * 2
    past = tuple(replace(part, title=hostile) for part in why.past) * 3
    drawn = replace(why, past=past, title=hostile).picture()
    root = ET.fromstring(drawn.encode())
    space = "{http://www.w3.org/2000/svg}"
    assert root.tag == f"{space}svg"
    assert not list(root.iter(f"{space}script"))
    bars = list(root.iter(f"{space}rect"))
    levels = sum(level.moved != 0 for level in why.levels)
    assert len(bars) == 8 + len(why.modalities) + levels + len(why.experts)
    assert any("other items" in "".join(text.itertext()) for text in root.iter(f"{space}text"))
    assert all(float(bar.get("x")) >= 0 for bar in bars)
    assert "prefers-color-scheme:dark" in drawn


@pytest.fixture(scope="module")
def repeating(data, tiny):
    """A recommender that reads four items, with experts and repeat scores of every sign."""
    fields = ["training.epochs=1", "model.history=4", "model.repeat=true"]
    made = Recommender.fit(data, tiny("late++", *fields, "model.experts.views=[id,text]"))
    made.model.repeat.fill_(3.0)
    made.model.experts.repeat.copy_(torch.tensor([2.0, -1.0]))
    made.model.experts.weight.copy_(torch.tensor([2.5, 4.0]))
    return made


def test_the_score_without_a_history_is_the_base(every, repeating, grown):
    for made in (*every.values(), repeating, grown):
        ids = made.catalogue.item_ids
        popular = {i.item_id: i.score for i in made.recommend(history=[], k=len(ids))}
        for item in (ids[3], ids[-1]):
            why = made.explain(item, [ids[0], ids[1]])
            assert why.base == pytest.approx(popular[item], abs=1e-4)
            alone = made.explain(item, [])
            assert alone.score == alone.base == pytest.approx(popular[item], abs=1e-4)
            assert alone.generated == alone.base


def test_all_users_without_a_history_get_scores_on_one_scale(repeating):
    nothing = Sequences.of([[]])
    items, scores = repeating.rank(nothing, 5)
    answer = repeating.recommend(history=[], k=5)
    ids = repeating.catalogue.item_ids
    assert [ids[row] for row in items[0]] == answer.item_ids
    assert scores[0].tolist() == [item.score for item in answer]


@pytest.mark.parametrize("target", [40, 5, 7, 20])  # seen long ago, long ago and now, now, never
def test_seen_items_older_than_the_window_have_a_share_of_their_own(repeating, target):
    ids = repeating.catalogue.item_ids
    rows = [40, 41, 5, 42, 43, 5, 6, 7, 5]
    history = [ids[row] for row in rows]
    scores = {i.item_id: i.score for i in repeating.recommend(history, k=90)}
    why = repeating.explain(ids[target], history)
    assert why.score == pytest.approx(scores[ids[target]], abs=1e-4)
    assert [part.item_id for part in why.past] == history[-4:]
    assert why.older + sum(part.moved for part in why.past) == pytest.approx(why.moved, abs=1e-6)
    for side in (why.modalities, (*why.levels, *why.experts)):
        assert sum(part.moved for part in side) == pytest.approx(why.moved, abs=1e-6)
    assert why.to_dict()["older"] == why.older
    if target == 40:
        assert why.older > 1
        assert f"Items before those that the model reads: {why.older:+.2f}." in why.words()
        assert why.levels[-1].code == "taken before"
    short = repeating.explain(ids[target], history[-4:])
    assert short.older == 0
    assert "before those" not in " ".join(short.words())
