"""A recommender of a study: trained once, and loaded ever after."""

from __future__ import annotations

from pathlib import Path

from mgrec import artifact
from mgrec.data.dataset import Dataset
from mgrec.recipe import Recipe
from mgrec.recommender import Recommender
from mgrec.study.outcomes import check_same


def fitted(folder: Path, data: Dataset, recipe: Recipe) -> Recommender:
    """Return a folder's recommender: loaded if it was saved, else trained, from its checkpoint on.

    Raises
    ------
    RequestError
        If the folder has one of another recipe, or of other data.
    """
    if not (folder / "manifest.json").is_file():
        return Recommender.fit(data, recipe, out=folder)
    manifest = artifact.read_manifest(folder)
    wanted = {"recipe": recipe.model_dump(mode="json"), "data": data.fingerprint}
    check_same(folder, {"recipe": manifest.recipe, "data": manifest.fingerprint}, wanted)
    return Recommender.load(folder)
