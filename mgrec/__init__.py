"""mgrec: multimodal generative recommendation.

>>> import mgrec
>>> data = mgrec.Dataset.read("my-shop")                               # doctest: +SKIP
>>> recommender = mgrec.Recommender.fit(data, "late++", out="runs/1")  # doctest: +SKIP
>>> recommender.recommend(history=["sku-1", "sku-7"], k=5).item_ids    # doctest: +SKIP
"""

import os

# Before torch is imported: its waiting threads otherwise spin, on a busy machine at half the speed.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from mgrec.data.dataset import Dataset
from mgrec.recipe import Recipe
from mgrec.recommender import Recommender
from mgrec.requests import Request

__version__ = "0.1.0"
__all__ = ["Dataset", "Recipe", "Recommender", "Request", "load"]

load = Recommender.load
