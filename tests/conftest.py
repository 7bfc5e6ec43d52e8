"""What all tests share: quiet threads, a small planted world, a recommender trained on it."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import settings

from mgrec import Dataset, Recipe, Recommender
from mgrec.data.worlds import make_world
from mgrec.progress import showing

# The same examples in every run.
settings.register_profile("fixed", derandomize=True)
settings.load_profile("fixed")

TINY = [
    "model.dim=16",
    "model.head_dim=8",
    "model.hidden=32",
    "quantiser.levels=2",
    "quantiser.size=8",
    "training.epochs=2",
    "training.targets=128",
    "training.warmup=5",
    "training.evaluate_every=1",
    "training.precision=float32",
    "alignment.epochs=2",
    "search.beams=20",
]


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def shown():
    """Print messages as the command line does."""
    with showing():
        yield


@pytest.fixture(scope="session")
def world():
    return make_world(0, items=90, users=120, topics=3, looks=3)


@pytest.fixture(scope="session")
def data(world):
    return world.embedded()


@pytest.fixture(scope="session")
def tiny():
    """A recipe that trains in a second or two."""

    def recipe(name="late++", *settings):
        return Recipe.named(name).override([*TINY, *settings])

    return recipe


@pytest.fixture(scope="session")
def trained(data, tiny):
    return Recommender.fit(data, tiny("late++", "model.experts.views=[text,image]"))


@pytest.fixture(scope="session")
def store(world, tiny):
    """A recommender over a catalogue with attributes of several types."""
    rng = np.random.default_rng(0)
    tags = [
        rng.choice(["red", "new", "big"], rng.integers(0, 3), replace=False).tolist()
        for _ in range(world.n_items)
    ]
    look = [None if i % 11 == 0 else f"look {n}" for i, n in enumerate(world.look)]
    bare = world.embedded()
    items = world.items.drop("text", "image").with_columns(
        tags=pl.Series(tags), category=pl.Series(look), topic=pl.Series(world.topic)
    )
    data = Dataset.from_frames(items, world.interactions, embeddings=bare.embeddings)
    return Recommender.fit(
        data, tiny("late++", "model.experts.views=[text,image]", "training.epochs=1")
    )
