"""A look at one finished model: its codes, what it does without the catalogue, its alignment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mgrec.catalogue import FUSED
from mgrec.data.features import Codes, Embeddings
from mgrec.data.splits import Cases
from mgrec.fitting import aligns
from mgrec.ids.standardise import fused
from mgrec.model.alignment import Alignment
from mgrec.progress import say
from mgrec.recommender import Recommender
from mgrec.study.correspondence import Correspondence, correspondence
from mgrec.study.finished import Finished
from mgrec.study.retrieval import Aligned, aligned


@dataclass(frozen=True, eq=False)
class Look:
    """What was seen of one model; a sentence says why something was not looked at.

    Attributes
    ----------
    run : whose
    codes : by block
    """

    run: Finished
    codes: Mapping[str, Codes]
    correspondence: Correspondence | str
    aligned: Aligned | str | None  # None: the recipe does not align


def look(run: Finished, users: int, seed: int) -> Look:
    """Load a run and look at it.

    Parameters
    ----------
    users : test cases of the sample, at most
    seed : of the sample, and of the items withheld from alignment
    """
    made = run.load()
    cases = made.split().test.sample(users, seed)
    return Look(run, made.catalogue.codes, _correspondence(made, cases), _aligned(made, seed))


def vectors_of(run: Finished, block: str) -> Embeddings | None:
    """Return what the codes of a run's block were made of; None for ready-made codes."""
    vectors = run.load().catalogue.vectors
    return fused(vectors) if block == FUSED else vectors.get(block)


def _correspondence(made: Recommender, cases: Cases) -> Correspondence | str:
    if made.model.legal:
        return "legal softmax: an ID of no item has no probability, so that nothing is repaired"
    say(f"{made.recipe.name}: searching without the catalogue")
    return correspondence(made.model, cases, made.recipe.search)


def _aligned(made: Recommender, seed: int) -> Aligned | str | None:
    recipe = made.recipe
    if not aligns(recipe):
        return None
    if not recipe.alignment.contrastive:
        return "the contrastive objective is off, and only it makes blocks comparable"
    if not recipe.alignment.epochs:
        return "it aligns while it learns what users take: there is no stage before that to look at"
    alignment = Alignment(made.model, recipe.alignment, recipe.seed)
    if len(alignment.items) < 20:
        return f"only {len(alignment.items)} items have two modalities"
    say(f"{recipe.name}: aligning anew, a tenth of the items withheld")
    return aligned(made.catalogue, recipe, seed)
