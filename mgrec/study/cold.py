"""The cold-start protocol: items that training never saw are added, and then asked for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from mgrec.catalogue import Catalogue
from mgrec.configs import SplitConfig
from mgrec.data.cold import drawn, known_only, without
from mgrec.data.dataset import Dataset
from mgrec.data.sequences import Sequences
from mgrec.data.splits import Cases, split
from mgrec.errors import RequestError
from mgrec.measure.metrics import LISTED, metric, ranks_of
from mgrec.newcomers import Ready
from mgrec.progress import say
from mgrec.recipe import Recipe
from mgrec.recommender import Recommender
from mgrec.search.exact import score_items
from mgrec.search.ranking import batches, read
from mgrec.search.repeats import moved_by_repeat
from mgrec.study.baselines import ItemKNN, looked_at
from mgrec.study.place import COLD, own_folder
from mgrec.study.resumed import fitted

RATIOS = (0.5, 1.0, 2.0, 4.0, 8.0)
SAMPLE = 2000  # cases that ratios are chosen on, and that others' loss is measured on
FIRST = 10  # items that count as recommended


@dataclass(frozen=True, eq=False)
class Asked:
    """Test cases in the grown catalogue's indices.

    Attributes
    ----------
    cold : the target is a new item; histories may hold other new ones
    warm : a sample of the others, their histories without new items
    """

    cold: Cases
    warm: Cases


@dataclass(frozen=True, eq=False)
class Way:
    """One way in for new items, measured.

    Attributes
    ----------
    name : in words
    ratio : `search.new_items`; None leaves it to the codes
    cold, warm : int64 [cases], ranks of the targets, -1 where not listed
    reached : share of the new items that anybody's first ten hold
    taken : share of the places among the first ten, in warm cases, that new items take
    shift : float32 [warm cases], by how much the targets' scores moved when the items came
    """

    name: str
    ratio: float | None
    cold: NDArray[np.int64]
    warm: NDArray[np.int64]
    reached: float
    taken: float
    shift: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Cold:
    """What the protocol came to.

    Attributes
    ----------
    made : the recommender before anything was added
    new, items : how many items came, and how many there are then
    share, seed : of the draw
    fingerprint : of the whole data
    before : int64 [warm cases], ranks before anything was added
    ways : generation alone, the recipe's ratio, the ratio that validation chose
    tried : validation NDCG@10 over all cases by ratio
    neighbours : item-kNN's ranks in the cold cases, by what it looks at
    """

    made: Recommender
    new: int
    items: int
    share: float
    seed: int
    fingerprint: str
    before: NDArray[np.int64]
    ways: tuple[Way, ...]
    tried: dict[float, float]
    neighbours: dict[str, NDArray[np.int64]]

    @property
    def chosen(self) -> float:
        """The ratio that did best on validation."""
        return max(self.tried, key=self.tried.__getitem__)


def cold_start(
    data: Dataset, recipe: Recipe, out: Path, *, share: float = 0.05, seed: int = 0
) -> Cold:
    """Train without some items, add them, and measure them and everybody else.

    Users keep what else they took; one whose target is held out is trained on one item less. Nobody
    is asked for what training saw: who is left with too few items is trained on whole. How much new
    items are let in is chosen on the validation cases, cold and warm in their natural proportion.

    Parameters
    ----------
    out : where the artifact is saved; called again, nothing is trained twice
    share, seed : of the draw of the new items

    Raises
    ------
    RequestError
        If nothing is held out to test on, or no test case has a new item as its target.
    """
    rows = drawn(data, share, seed)
    parts, old = split(data, recipe.split), data.n_items - len(rows)
    index = _grown_index(data.n_items, rows)
    tests, validation = (
        _renumbered(_unseen(cases, data, rows, recipe.split), index)
        for cases in (parts.test, parts.validation)
    )
    asked = _asked(tests, old, recipe.seed)
    with own_folder(out, COLD):
        made = fitted(out / "run", without(data, rows), recipe)
    grown = made.add_items(
        data.items[rows],
        embeddings=_ready(data, rows, made.catalogue),
        folder=data.root,
        encoders=(recipe.content.text_encoder, recipe.content.image_encoder),  # the caller's own
    ).catalogue
    assert (index == grown.index_of(data.items["item_id"])).all()
    tried = _tried(made, grown, validation.sample(SAMPLE, recipe.seed))
    best = max(tried, key=tried.__getitem__)
    before = _scores(made, asked.warm)
    usual = recipe.search.new_items
    ratios = {
        "generation alone": None,
        **({} if usual is None else {f"let in, ratio {usual:g}": usual}),
        f"let in, ratio {best:g} (chosen on validation)": best,
    }
    ways = [
        _way(name, _at(made, grown, ratio), ratio, asked, old, before)
        for name, ratio in ratios.items()
        if not (ratio == usual == best and "chosen" not in name)
    ]
    return Cold(
        made=made,
        new=len(rows),
        items=grown.n_items,
        share=share,
        seed=seed,
        fingerprint=data.fingerprint,
        before=ranks_of(made.top(asked.warm.history, LISTED), asked.warm.targets),
        ways=tuple(ways),
        tried=tried,
        neighbours=_neighbours(grown, asked.cold),
    )


def _tried(made: Recommender, grown: Catalogue, cases: Cases) -> dict[float, float]:
    """Return NDCG@10 over validation cases by ratio."""
    tried = {}
    for ratio in RATIOS:
        found = _at(made, grown, ratio).top(cases.history, LISTED)
        tried[ratio] = float(metric(ranks_of(found, cases.targets), "NDCG@10").mean())
        say(f"validation: new_items {ratio:g}, NDCG@10 {tried[ratio]:.4f}")
    return tried


def _neighbours(grown: Catalogue, cases: Cases) -> dict[str, NDArray[np.int64]]:
    """Return item-kNN's ranks of the targets, by what it looks at."""
    fitted = {
        name: ItemKNN.fit(*(grown.vectors[modality] for modality in several))
        for name, several in looked_at(grown.vectors).items()
    }
    return {
        name: ranks_of(ranker.top(cases.history, LISTED), cases.targets)
        for name, ranker in fitted.items()
    }


def _unseen(cases: Cases, data: Dataset, rows: NDArray[np.int64], config: SplitConfig) -> Cases:
    """Leave out the cases whose target training may have seen, though the split holds it out.

    Without the new items, a user may be left with too few to be asked about, and is trained on
    whole; and moments at which a log is cut may move.
    """
    index = np.arange(data.n_items)
    index[rows] = -1
    allowed, _ = known_only(split(data, config).train, index)
    _, left = known_only(data.log, index)
    seen = np.zeros(data.n_users, np.int64)
    seen[left] = split(without(data, rows), config).train.lengths
    new = index[cases.targets] < 0
    return cases.select(np.flatnonzero(new | (seen <= allowed.lengths)[cases.users]))


def _ready(data: Dataset, rows: NDArray[np.int64], catalogue: Catalogue) -> Ready:
    """Return the new items' ready-made content, as far as the catalogue was made of such."""
    vectors = {
        name: e.select(rows)
        for name, e in data.embeddings.items()
        if name in catalogue.vectors and name not in catalogue.encoders
    }
    bare = catalogue.codes.keys() - catalogue.vectors.keys()
    return vectors | {name: c.select(rows) for name, c in data.codes.items() if name in bare}


def _grown_index(n_items: int, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return int64 [items]: where items stand once some, ``rows``, came after all others."""
    new = np.zeros(n_items, bool)
    new[rows] = True
    index = np.empty(n_items, np.int64)
    index[~new] = np.arange(n_items - len(rows))
    index[rows] = np.arange(n_items - len(rows), n_items)
    return index


def _renumbered(cases: Cases, index: NDArray[np.int64]) -> Cases:
    history = Sequences(cases.history.offsets, index[cases.history.items].astype(np.int32))
    return Cases(cases.users, history, index[cases.targets].astype(np.int32))


def _asked(cases: Cases, old: int, seed: int) -> Asked:
    """Part the test cases by whether the target is new."""
    if not len(cases):
        raise RequestError(
            "cold: found no test case that training did not see, expected a split that holds some"
            " out, and users with three interactions or more"
        )
    new = cases.targets >= old
    if not new.any():
        raise RequestError("cold: no test case has a new item as target, expected a larger share")
    place = np.arange(int(max(cases.history.items.max(initial=0), cases.targets.max())) + 1)
    shorter, left = known_only(cases.history, np.where(place < old, place, -1))
    kept = left[~new[left]]
    if not len(kept):
        raise RequestError("cold: no test case is left without new items, expected a smaller share")
    warm = Cases(cases.users[kept], shorter.select(kept), cases.targets[kept])
    return Asked(cases.select(np.flatnonzero(new)), warm.sample(SAMPLE, seed))


def _at(made: Recommender, grown: Catalogue, ratio: float | None) -> Recommender:
    """Return a recommender over the grown catalogue that lets new items in by a ratio."""
    search = made.recipe.search.model_copy(update={"new_items": ratio})
    return replace(made, recipe=made.recipe.model_copy(update={"search": search})).over(grown)


def _way(
    name: str,
    made: Recommender,
    ratio: float | None,
    asked: Asked,
    old: int,
    before: NDArray[np.float32],
) -> Way:
    cold, warm = (made.top(cases.history, LISTED) for cases in (asked.cold, asked.warm))
    first = np.concatenate([cold[:, :FIRST], warm[:, :FIRST]])
    return Way(
        name,
        ratio,
        ranks_of(cold, asked.cold.targets),
        ranks_of(warm, asked.warm.targets),
        len(np.unique(first[first >= old])) / (made.catalogue.n_items - old),
        float((warm[:, :FIRST] >= old).mean()),
        _scores(made, asked.warm) - before,
    )


@torch.inference_mode()
def _scores(made: Recommender, cases: Cases) -> NDArray[np.float32]:
    """Return float32 [cases]: the exact scores of the targets, experts included."""
    model = made.model
    found = np.empty(len(cases), np.float32)
    for rows in batches(cases.history, made.plan(LISTED)):
        context = model.context(read(model, cases.history, rows))
        target = torch.from_numpy(cases.targets[rows]).long()[:, None]
        score = score_items(model, context, target)
        if model.config.repeat:
            score = score + moved_by_repeat(model, context, target[:, 0])[:, None]
        if model.experts is not None and context.views is not None:
            score = score + model.experts.combined(context.views, context.seen).gather(1, target)
        found[rows] = score[:, 0].numpy()
    return found
