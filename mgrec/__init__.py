"""mgrec: multimodal generative recommendation.

>>> import mgrec
>>> data = mgrec.Dataset.read("my-shop")                               # doctest: +SKIP
>>> recommender = mgrec.Recommender.fit(data, "late++", out="runs/1")  # doctest: +SKIP
>>> recommender.recommend(history=["sku-1", "sku-7"], k=5).item_ids    # doctest: +SKIP
"""

from __future__ import annotations

import os

# Before torch is imported: its waiting threads otherwise spin, on a busy machine at half the speed.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

TYPE_CHECKING = False  # as typing has it, which takes long to import
if TYPE_CHECKING:
    from typing import Any

    from mgrec.data.dataset import Dataset
    from mgrec.recipe import Recipe
    from mgrec.recommender import Recommender
    from mgrec.requests import Request

    load = Recommender.load

__version__ = "0.1.0"
__all__ = ["Dataset", "Recipe", "Recommender", "Request", "load"]

_HOMES = {
    "Dataset": "mgrec.data.dataset",
    "Recipe": "mgrec.recipe",
    "Recommender": "mgrec.recommender",
    "Request": "mgrec.requests",
}


def __getattr__(name: str) -> Any:
    """Import a public name at its first use: torch takes seconds, and not every command needs it.

    So the command line can end cleanly, also where it is interrupted during imports.
    """
    from importlib import import_module

    if name == "load":
        found = import_module(_HOMES["Recommender"]).Recommender.load
    elif name in _HOMES:
        found = getattr(import_module(_HOMES[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES, "load"])
