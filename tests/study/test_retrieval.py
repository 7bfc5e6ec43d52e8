"""Alignment measured on items that it did not see: where there is something to learn, and not."""

import numpy as np
import polars as pl
import pytest
import torch

from mgrec import Dataset, Recipe
from mgrec.catalogue import build_catalogue
from mgrec.data.features import Embeddings
from mgrec.fitting import fresh
from mgrec.model.alignment import Alignment
from mgrec.study.retrieval import aligned, retrieval, withheld
from tests.conftest import TINY

ITEMS, KINDS = 300, 12
SETTINGS = [*TINY, "quantiser.levels=1", "quantiser.size=12", "alignment.epochs=40"]
SETTINGS += ["alignment.batch=270", "training.learning_rate=0.01", "alignment.generative=0"]


def catalogue_of(linked):
    """Items whose picture follows from their text, or has nothing to do with it."""
    rng = np.random.default_rng(0)
    kind = {"text": np.arange(ITEMS) % KINDS}
    kind["image"] = kind["text"] if linked else rng.permutation(kind["text"])
    places = np.eye(KINDS, dtype=np.float32)
    embeddings = {
        name: Embeddings(
            places[k] + rng.normal(0, 0.01, (ITEMS, KINDS)).astype(np.float32),
            np.ones(ITEMS, bool),
        )
        for name, k in kind.items()
    }
    ids = [f"i{n}" for n in range(ITEMS)]
    log = pl.DataFrame({"user_id": ["u"] * 5, "item_id": ids[:5], "timestamp": range(5)})
    data = Dataset.from_frames(pl.DataFrame({"item_id": ids}), log, embeddings=embeddings)
    recipe = Recipe.named("late++").override([*SETTINGS, "model.history_embeddings=false"])
    return build_catalogue(data, recipe), recipe


def test_right_answers_in_the_same_place_are_found_first_and_leave_no_gap():
    vectors = np.eye(30, dtype=np.float32)
    found = retrieval(vectors, vectors, np.arange(30)[:, None], "text", "image")
    assert (found.items, found.among) == (30, 30)
    assert found.first.value == found.ten.value == 1
    assert found.gap == pytest.approx(0, abs=1e-6)
    assert found.guessed == (1 / 30, 1 / 3)


def test_answers_that_are_all_the_same_vector_are_no_hit():
    vectors = np.eye(30, dtype=np.float32)
    same = np.tile(np.eye(30, dtype=np.float32)[:1], (30, 1))
    found = retrieval(vectors, same, np.arange(30)[:, None], "text", "image")
    assert found.first.value == found.ten.value == 0


def test_items_with_the_same_block_have_the_same_answer():
    block = (np.arange(30) % 3)[:, None]
    answers = np.eye(3, dtype=np.float32)[block[:, 0]]
    found = retrieval(answers, answers, block, "text", "image")
    assert found.among == 3
    assert found.first.value == 1
    opposite = retrieval(answers, -answers, block, "text", "image")
    assert opposite.first.value == 0
    assert opposite.gap == pytest.approx(2 / 3**0.5)


def test_alignment_carries_over_to_withheld_items_where_pictures_follow_from_texts():
    found = aligned(*catalogue_of(True))
    before, after = found.before[0], found.after[0]
    assert (after.source, after.goal, after.items) == ("text", "image", 30)
    assert after.first.low > after.guessed[0]
    assert after.first.value > before.first.value + 0.5


def test_where_nothing_links_them_withheld_items_stay_at_guessing():
    found = aligned(*catalogue_of(False))
    assert found.after[0].first.value < found.after[0].guessed[0] + 0.15


def test_withheld_items_are_in_no_batch():
    catalogue, recipe = catalogue_of(True)
    model = fresh(catalogue, recipe)
    kept, others = withheld(Alignment(model, recipe.alignment, 0), seed=3)
    assert len(kept) == len(others) == 30
    assert not set(kept.tolist()) & set(others.tolist())
    hidden = torch.zeros(ITEMS, dtype=torch.bool)
    hidden[kept] = True
    task = Alignment(model, recipe.alignment, 0, hidden)
    seen = torch.cat(list(task.batches(0)))
    assert len(seen) == ITEMS - 30
    assert not hidden[seen].any()
    assert not hidden[task.sample(torch.arange(ITEMS))].any()
