"""A recommender of a study: trained once, and loaded ever after."""

from __future__ import annotations

from pathlib import Path

from mgrec import artifact
from mgrec.data.dataset import Dataset
from mgrec.errors import RequestError
from mgrec.recipe import Recipe
from mgrec.recommender import Recommender
from mgrec.study.outcomes import check_same


def fitted(folder: Path, data: Dataset, recipe: Recipe) -> Recommender:
    """Return a folder's recommender: loaded if it was saved, else trained, from its checkpoint on.

    Raises
    ------
    RequestError
        If the folder has one of another recipe, of other data, or one that was changed since.
    """
    if not (folder / "manifest.json").is_file():
        return Recommender.fit(data, recipe, out=folder)
    manifest = artifact.read_manifest(folder)
    wanted = {"recipe": recipe.model_dump(mode="json"), "data": data.fingerprint}
    check_same(folder, {"recipe": manifest.recipe, "data": manifest.fingerprint}, wanted)
    made = Recommender.load(folder)
    same = made.catalogue.items["item_id"].equals(data.items["item_id"])
    if made.knows_tests or not same or not made.catalogue.listed.all():
        raise RequestError(
            f"{folder}: holds a run that was trained on everything, or whose catalogue was changed"
            " since; expected the run as it was made, or another --out"
        )
    return made
