"""mgrec: multimodal generative recommendation.

>>> import mgrec
>>> data = mgrec.Dataset.read("my-shop")                               # doctest: +SKIP
>>> recommender = mgrec.Recommender.fit(data, "late++", out="runs/1")  # doctest: +SKIP
>>> recommender.recommend(history=["sku-1", "sku-7"], k=5).item_ids    # doctest: +SKIP
"""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mgrec.data.dataset import Dataset
    from mgrec.progress import show_progress
    from mgrec.recipe import Recipe
    from mgrec.recommender import Recommender
    from mgrec.requests import Request

__version__ = "0.1.0"
__all__ = ["Dataset", "Recipe", "Recommender", "Request", "load", "show_progress"]

_FROM = {  # imported on first use, so that the command line can set up the process before torch
    "Dataset": "mgrec.data.dataset",
    "Recipe": "mgrec.recipe",
    "Recommender": "mgrec.recommender",
    "Request": "mgrec.requests",
    "show_progress": "mgrec.progress",
}


def load(path: "Path | str") -> "Recommender":
    """Load an artifact; see `Recommender.load`."""
    from mgrec.recommender import Recommender

    return Recommender.load(path)


def __getattr__(name: str) -> Any:
    if name in _FROM:
        found = getattr(import_module(_FROM[name]), name)
        globals()[name] = found
        return found
    try:
        return import_module(f"mgrec.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"mgrec.{name}":
            raise
    raise AttributeError(f"module 'mgrec' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
