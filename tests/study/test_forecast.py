"""The forecast of `mgrec check`: it counts the work that a fit does, whatever the recipe says."""

import pytest

from mgrec import Dataset
from mgrec.content.encoders import encode_texts, text_encoder
from mgrec.fitting import fresh
from mgrec.model.next_item import NextItem
from mgrec.study.forecast import Forecast, forecast, planned_epochs


@pytest.fixture(scope="module")
def expected(data, tiny):
    """Return a forecast under some settings; measured once each."""
    made: dict[tuple[str, ...], Forecast] = {}

    def of(*settings: str) -> Forecast:
        if settings not in made:
            made[settings] = forecast(data, tiny("late++", *settings))
        return made[settings]

    return of


def counts(found: Forecast) -> dict[str, int]:
    return {stage.name: stage.most for stage in found.stages}


def test_counts_are_those_of_a_real_fit(trained, data, tiny, expected):
    found = counts(expected("model.experts.views=[text,image]"))
    recipe, parts = trained.recipe, trained.split()
    curve = trained.facts["training"]["curve"]
    task = NextItem(fresh(trained.catalogue, recipe), parts.train, recipe.training, recipe.seed)
    assert found["training"] == sum(len(task.batches(epoch)) for epoch in range(len(curve)))
    evaluated = sum("NDCG@10" in entry for entry in curve)
    assert found["ranking validation cases"] == evaluated * len(parts.validation)
    assert found["ranking test cases"] == trained.facts["test"]["cases"]
    assert found["expert text"] == found["expert image"] > 0
    assert found["weighing"] == len(parts.validation)
    assert expected("model.experts.views=[text,image]").epochs == (2, 2)


def test_overrides_change_the_counts_in_proportion(expected):
    usual = counts(expected())
    longer = counts(expected("training.epochs=6", "alignment.epochs=4"))
    assert longer["training"] == 3 * usual["training"]
    assert longer["ranking validation cases"] == 3 * usual["ranking validation cases"]
    assert longer["alignment"] == 2 * usual["alignment"]
    assert longer["ranking test cases"] == usual["ranking test cases"]
    bare = counts(expected("alignment.epochs=0", "split.kind=none"))
    assert not {"alignment", "ranking validation cases", "ranking test cases"} & bare.keys()


def test_a_time_limit_bounds_the_training(expected):
    long = expected("training.epochs=1000")
    short = expected("training.epochs=1000", "training.minutes=0.02")
    steps = next(stage for stage in short.stages if stage.name == "training")
    assert steps.most * steps.seconds == pytest.approx(1.2, rel=0.2)
    assert short.most < long.most / 3


def test_experts_teachers_tables_and_baselines_are_counted(data, tiny):
    recipe = tiny(
        "text-experts",
        "model.experts.views=[id,linear,knn-text]",
        "training.teachers=[id,linear]",
        "model.repeat=true",
    )
    found = counts(forecast(data, recipe))
    assert {"expert id", "expert linear: table", "expert knn-text: table"} <= found.keys()
    assert found["teachers' lists"] == len(data.log.items) - 3 * data.n_users
    assert {"quantising text", "weighing", "item-kNN on text"} <= found.keys()


@pytest.mark.slow
def test_what_the_cache_lacks_is_counted_and_not_written(world, tiny, tmp_path):
    raw = Dataset.read(world.write(tmp_path / "shop"))
    recipe, cache = tiny("late"), tmp_path / "cache"
    found = counts(forecast(raw, recipe, cache))
    texts = {text for text in raw.texts() if text}
    assert found["encoding text"] == len(texts)
    assert found["encoding image"] == sum(picture is not None for picture in raw.pictures())
    assert not list(cache.rglob("*.safetensors"))
    encode_texts(sorted(texts)[10:], text_encoder(), cache=cache)
    assert counts(forecast(raw, recipe, cache))["encoding text"] == 10


def test_patience_stops_a_long_training_early(tiny):
    usual = tiny("late++", "training.patience=4", "training.evaluate_every=2").training
    assert planned_epochs(usual, 60, validated=True) == (25, 60)
    assert planned_epochs(usual, 8, validated=True) == (8, 8)
    assert planned_epochs(usual, 60, validated=False) == (60, 60)
    patient = tiny("late++", "training.patience=20", "training.evaluate_every=2").training
    assert planned_epochs(patient, 60, validated=True) == (42, 60)
    cooled = tiny("late++", "training.cooldown=0.5").training
    assert planned_epochs(cooled, 60, validated=True) == (60, 60)


def test_a_recipe_that_cannot_be_fitted_says_why(data, tiny):
    found = forecast(data, tiny("late++", "content.source=codes"))
    assert "modality 'text'" in str(found.refused)
    assert found.lines() == [f"this recipe cannot be fitted: {found.refused}"]


def test_the_most_is_stated_beside_the_likely(expected):
    text = "\n".join(expected("training.epochs=60").lines())
    assert "if training stops after 25 epochs, at most" in text
    assert "for all 60" in text
    assert "GB of memory" in text
    assert "at most" not in expected().lines()[0]
