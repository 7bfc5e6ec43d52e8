"""The public face: fit, recommend, evaluate, save, load."""

from itertools import pairwise

import numpy as np
import polars as pl
import pytest

import mgrec
from mgrec import Dataset, Recommender
from mgrec.continuing import unseen
from mgrec.data.features import Codes
from mgrec.errors import ArtifactError, DataError, RecipeError, RequestError

STRATEGIES = ("text", "image", "early", "late", "late++")


@pytest.mark.parametrize("name", [*STRATEGIES, *(f"paper-{name}" for name in STRATEGIES)])
def test_every_strategy_of_both_families_fits_and_recommends(name, data, tiny):
    small = ["model.layers=1", "model.decoder_layers=1", "model.heads=2", "training.epochs=1"]
    made = Recommender.fit(data, tiny(name, *small))
    answer = made.recommend(user=data.users[3], k=5)
    assert len(answer) == 5
    assert set(answer.item_ids) <= set(data.items["item_id"])
    assert all(a.score >= b.score for a, b in pairwise(answer))
    assert 0 <= made.evaluate().metrics["NDCG@10"].value <= 1


def test_what_is_loaded_answers_as_what_was_saved(trained, data, tmp_path):
    trained.save(tmp_path / "run")
    loaded = mgrec.load(tmp_path / "run")
    for user in data.users[:10]:
        assert loaded.recommend(user=user) == trained.recommend(user=user)
    assert (loaded.evaluate().ranks == trained.evaluate().ranks).all()
    assert loaded.recipe == trained.recipe
    assert loaded.facts["test"] == trained.facts["test"]
    assert loaded.catalogue.items.equals(trained.catalogue.items)


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(data, tiny, tmp_path):
    def weights(name, *settings):
        Recommender.fit(data, tiny("late++", *settings), out=tmp_path / name)
        return (tmp_path / name / "model.safetensors").read_bytes()

    assert weights("a") == weights("b")
    assert weights("c", "seed=1") != weights("d")


def test_all_users_in_one_file_equal_each_user_alone(trained, data, tmp_path):
    users = trained.recommend_all(tmp_path / "deep" / "all.parquet", k=4)
    frame = pl.read_parquet(tmp_path / "deep" / "all.parquet")
    assert users == data.n_users == frame["user_id"].n_unique()
    assert frame.columns == ["user_id", "rank", "item_id", "score"]
    for user in data.users[:8]:
        alone = trained.recommend(user=user, k=4)
        rows = frame.filter(pl.col("user_id") == user).sort("rank")
        assert rows["item_id"].to_list() == alone.item_ids
        np.testing.assert_allclose(rows["score"], [item.score for item in alone], atol=1e-4)


def test_filters_allow_just_what_they_say(trained, data):
    ids = data.items["item_id"].to_list()
    user = data.users[0]
    best = trained.recommend(user=user, k=90).item_ids
    assert sorted(best) == sorted(ids)
    allowed = ids[::3]
    assert trained.recommend(user=user, k=90, only=allowed).item_ids == [
        item for item in best if item in set(allowed)
    ]
    assert trained.recommend(user=user, k=90, exclude=best[:7]).item_ids == best[7:]
    seen = {ids[item] for item in data.log[0]}
    unseen = trained.recommend(user=user, k=90, exclude_seen=True).item_ids
    assert unseen == [item for item in best if item not in seen]
    assert len(trained.recommend(user=user, only=[])) == 0
    assert len(trained.recommend(user=user, only=["no such item"])) == 0


def test_more_than_is_legal_gives_all_that_is_legal(trained, data):
    assert len(trained.recommend(user=data.users[0], k=10_000)) == 90
    assert len(trained.recommend(history=["nothing"], k=10_000)) == 90


def test_strangers_get_popular_items_and_are_told(trained, data):
    counts = trained.counts
    ids = data.items["item_id"].to_list()
    most = ids[int(np.argmax(counts))]
    for answer in (
        trained.recommend(user="nobody"),
        trained.recommend(history=["no such item", "nor this"]),
        trained.recommend(history=[]),
    ):
        assert answer[0].item_id == most
        assert not answer.generated
        assert "popular items" in answer.reason
    without = trained.recommend(user="nobody", exclude=[most])
    assert most not in without.item_ids


def test_unknown_items_of_a_history_are_passed_over_aloud(trained, data):
    known = data.items["item_id"][4]
    answer = trained.recommend(history=["no such item", known])
    assert answer.item_ids == trained.recommend(history=[known]).item_ids
    assert "1 unknown items" in answer.reason


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"history": [], "k": 0}, "k: expected at least 1, found 0"),
        ({"user": "u", "k": -3}, "found -3"),
        ({}, "either a history or a user"),
        ({"history": "sku-1"}, "expected a list of item ids"),
        ({"history": [], "user": "u"}, "not both"),
    ],
)
def test_requests_that_no_answer_fits_are_refused(trained, request_, message):
    with pytest.raises(RequestError, match=message):
        trained.recommend(**request_)


def test_final_trains_on_everything_and_keeps_the_measured_figures(data, tiny):
    usual = Recommender.fit(data, tiny())
    final = Recommender.fit(data, tiny(), final=True)
    assert final.counts.sum() == len(data.log.items) > usual.counts.sum()
    assert final.facts["test"] == usual.facts["test"]
    with pytest.raises(RequestError, match=r"trained on the test cases too.*under 'test'"):
        final.evaluate()
    differs = final.model.tokens.weight != usual.model.tokens.weight
    assert bool(differs.any())


def logged(data, log, begins=0):
    """A dataset with another log, a list of items a user, from some moment on."""
    rows = {
        "user_id": np.repeat(data.users.to_list(), [len(items) for items in log]),
        "item_id": data.items["item_id"].gather(np.concatenate(log)),
        "timestamp": begins + np.concatenate([np.arange(len(items)) for items in log]),
    }
    return Dataset.from_frames(data.items, pl.DataFrame(rows))


def continued(items, user, n_items):
    """A log longer by one repeated and one new item for the first two users, one for the third."""
    new = np.setdiff1d(np.arange(n_items), items)[:2]
    more = {0: [items[-1], new[0]], 1: [items[-1], items[-1]], 2: new[:1]}
    return np.concatenate([items, more.get(user, [])]).astype(np.int64)


def test_what_continues_a_final_run_is_measured_on_what_that_had_not_seen(data, tiny, tmp_path):
    final = Recommender.fit(data, tiny(), final=True)
    again = Recommender.fit(data, start=final)
    assert again.tested is None
    with pytest.raises(RequestError, match="nothing was measured before"):
        again.evaluate()
    longer = logged(data, [continued(row, u, data.n_items) for u, row in enumerate(data.log)])
    made = Recommender.fit(longer, start=final, out=tmp_path / "run")
    assert made.tested.users.tolist() == [0, 1, 2]
    assert made.facts["continues"].items() >= {"test": 3, "saw_tests": True, "whole": True}.items()
    parts, _ = unseen(made.split(), made.users, made.recipe, final)  # what epochs were chosen by
    assert parts.validation.users.tolist() == [0, 1]
    for further in (made, Recommender.load(tmp_path / "run")):
        assert not further.final
        with pytest.raises(RequestError, match=r"continues one that saw some.*under 'test'"):
            further.evaluate()
    assert Recommender.fit(longer, start=made).tested is None


@pytest.mark.parametrize("final", [False, True])
def test_what_weights_have_seen_is_remembered_from_run_to_run(data, tiny, final):
    first = Recommender.fit(data, tiny(), final=final)
    longer = logged(data, [continued(row, u, data.n_items) for u, row in enumerate(data.log)])
    half = logged(data, [row if u % 2 else row[:0] for u, row in enumerate(data.log)])
    between = Recommender.fit(half, start=first)
    assert between.knows_tests == final
    last = Recommender.fit(longer, start=between)
    for made in (between, last):
        assert made.facts["continues"]["whole"] is False
    assert last.tested is None
    assert last.knows_tests
    later = logged(data, [row[:3] for row in data.log], begins=2**31)  # all of it after they saw
    made = Recommender.fit(later, start=last)
    assert len(made.tested.users) == data.n_users
    assert made.knows_tests  # an older log may be given to what continues it


def test_what_an_honest_run_was_trained_on_is_not_measured_either(data, tiny):
    start = Recommender.fit(data, tiny())
    longer = logged(data, [continued(row, u, data.n_items) for u, row in enumerate(data.log)])
    assert not Recommender.fit(longer, start=start).knows_tests
    shorter = logged(data, [row[:-2] if u else row for u, row in enumerate(data.log)])
    made = Recommender.fit(shorter, start=start)
    assert made.knows_tests
    assert made.tested.users.tolist() == [0]


def test_a_run_continues_on_new_logs_with_its_own_catalogue(trained, world, data):
    rows = world.interactions
    new = pl.DataFrame({"item_id": ["brand new"], "price": [1.0]})
    log = pl.concat(
        [
            rows.filter(pl.col("user_id").is_in(data.users[:60].to_list())),
            pl.DataFrame({"user_id": ["u000"], "item_id": ["brand new"], "timestamp": [2**31]}),
        ]
    )
    items = pl.concat([world.items.drop("text", "image"), new], how="diagonal")
    fresh = Dataset.from_frames(items, log)
    made = Recommender.fit(fresh, trained.recipe, start=trained)
    assert made.catalogue is trained.catalogue
    assert len(made.users) == 60
    assert not bool((made.model.tokens.weight == trained.model.tokens.weight).all())
    assert made.recommend(user=data.users[3]).generated
    empty = made.recommend(user="u000" if len(made.users.log[0]) == 0 else made.users.ids[-1])
    assert empty.generated or "no item of user" in empty.reason


@pytest.mark.parametrize("setting", ["model.dim=32", "ids.fusion=late", "quantiser.levels=3"])
def test_a_run_that_continues_keeps_codes_and_weights(trained, data, setting):
    with pytest.raises(RecipeError, match="a run that continues keeps"):
        Recommender.fit(data, trained.recipe.override([setting]), start=trained)


def test_global_time_is_measured_too(data, tiny, tmp_path):
    made = Recommender.fit(data, tiny("text", "split.kind=global_time"), out=tmp_path / "run")
    again = mgrec.load(tmp_path / "run")
    assert (again.evaluate().ranks == made.evaluate().ranks).all()


def test_a_recipe_that_does_not_fit_the_data_is_refused_in_one_line(world, data, tiny):
    bare = Dataset.from_frames(world.items.drop("title", "text", "image"), world.interactions)
    with pytest.raises(RecipeError, match="has no text, picture, embedding or code"):
        Recommender.fit(bare, tiny("text"))
    codes = {
        name: Codes(np.zeros((90, 2), np.int32), np.ones(90, bool), (256, 256))
        for name in ("text", "image")
    }
    only_codes = Dataset.from_frames(
        world.items.drop("text", "image"), world.interactions, codes=codes
    )
    with pytest.raises(RecipeError, match="early fusion needs embeddings"):
        Recommender.fit(only_codes, tiny("early"))
    with pytest.raises(RequestError, match="nothing was held out"):
        Recommender.fit(data, tiny("text", "split.kind=none")).evaluate()


def test_a_place_that_holds_something_else_is_refused_before_training(data, tiny, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "precious.txt").write_text("mine")
    with pytest.raises(ArtifactError, match="folder of other things"):
        Recommender.fit(data, tiny("text"), out=tmp_path / "run")
    assert (tmp_path / "run" / "precious.txt").read_text() == "mine"


def test_a_log_without_an_item_of_the_artifact_is_refused(trained):
    other = Dataset.from_frames(
        pl.DataFrame({"item_id": ["x", "y"]}),
        pl.DataFrame({"user_id": [1, 1, 1], "item_id": ["x", "y", "x"]}),
    )
    with pytest.raises(DataError, match="no item that the artifact knows"):
        Recommender.fit(other, trained.recipe, start=trained)


def test_shuffled_content_is_other_content(data, tiny):
    usual = Recommender.fit(data, tiny("late", "training.epochs=1"))
    control = Recommender.fit(data, tiny("late", "training.epochs=1", "content.shuffle=[image]"))
    assert (usual.catalogue.codes["text"].codes == control.catalogue.codes["text"].codes).all()
    image = [made.catalogue.vectors["image"].vectors for made in (usual, control)]
    assert not (image[0] == image[1]).all()
    assert np.isclose(np.sort(image[0].sum(1)), np.sort(image[1].sum(1)), atol=1e-4).all()
