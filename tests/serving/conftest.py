"""What the tests of serving share: a saved run with pictures, an application over it, a client."""

import shutil
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pytest
from fastapi.testclient import TestClient

from mgrec import Recommender
from mgrec.data.worlds import make_world
from mgrec.serving.app import application
from mgrec.serving.keys import Keys
from mgrec.serving.limits import Limits
from mgrec.serving.metrics import Metrics
from mgrec.serving.shelf import Shelf


@pytest.fixture(scope="session")
def shop(tmp_path_factory, tiny) -> Path:
    """A data folder with pictures beside the artifact trained on it, from ready-made vectors."""
    folder = tmp_path_factory.mktemp("shop")
    world = make_world(0, items=90, users=120, topics=3, looks=3)
    world.write(folder / "data")
    data = world.embedded()
    # The frame names no pictures; the page is to show those of the folder.
    named = pl.read_ndjson(folder / "data" / "items.jsonl").select("item_id", "image")
    made = Recommender.fit(data, tiny("late++", "model.experts=[text,image]"))
    catalogue = made.catalogue
    items = catalogue.items.drop("image", strict=False).join(named, on="item_id", how="left")
    object.__setattr__(catalogue, "items", items)
    made.save(folder / "run")
    return folder


@pytest.fixture
def run(shop, tmp_path) -> Path:
    """A copy of the run, to be changed."""
    return Path(shutil.copytree(shop / "run", tmp_path / "run"))


@pytest.fixture(scope="session")
def serving(shop):
    """Open a client of an application over runs: `with serving(run) as client`."""

    @contextmanager
    def opened(*runs: Path, keys: Keys | None = None, pictures: bool = True, **limits):
        bounds = Limits(**({"watch": 0} | limits))
        metrics = Metrics()
        folders = {run.name: shop / "data" for run in runs} if pictures else {}
        shelf = Shelf({run.name: run for run in runs}, bounds, metrics, folders)
        with TestClient(application(shelf, metrics, bounds, keys)) as client:
            client.shelf = shelf
            yield client

    return opened


@pytest.fixture(scope="module")
def client(shop, serving):
    """A client of the run as it was saved; nothing may be changed through it."""
    with serving(shop / "run") as client:
        yield client
