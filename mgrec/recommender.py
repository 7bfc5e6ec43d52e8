"""The verbs: fit, recommend, evaluate, save, and what they work on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mgrec import artifact, everybody
from mgrec.answering import answer
from mgrec.answers import Recommendations
from mgrec.catalogue import Catalogue
from mgrec.cores import check_process
from mgrec.data.dataset import Dataset
from mgrec.data.sequences import Sequences
from mgrec.data.splits import Split, split
from mgrec.errors import RequestError
from mgrec.explain.explaining import explain
from mgrec.explain.explanation import Explanation
from mgrec.growing import grown, model_over, shrunk
from mgrec.measure.evaluation import Evaluation, measure
from mgrec.measure.metrics import LISTED
from mgrec.model.generator import Generator
from mgrec.newcomers import Ready, newcomers
from mgrec.popularity import Popularity
from mgrec.progress import say
from mgrec.questions import question
from mgrec.recipe import Recipe
from mgrec.requests import ItemId, Request
from mgrec.search.ranking import Plan, plan
from mgrec.selection import Selection, selections
from mgrec.similar import similar
from mgrec.users import Users
from mgrec.variety import attributes


@dataclass(frozen=True, eq=False)
class Recommender:
    """A trained recommender over a catalogue.

    Examples
    --------
    >>> data = Dataset.read("my-shop")                                   # doctest: +SKIP
    >>> recommender = Recommender.fit(data, "late++", out="runs/first")  # doctest: +SKIP
    >>> recommender.recommend(history=["sku-1", "sku-7"], k=5).item_ids  # doctest: +SKIP

    Attributes
    ----------
    recipe : what it was made with
    catalogue : the items
    model : the generative model
    users : the log that it knows
    counts : int64 [items], how often training saw each item
    facts : what there is to say about the run: curves, notes, metrics
    fingerprint : of the data
    tested : what `fit` measured, so that it need not be ranked again; not saved
    """

    recipe: Recipe
    catalogue: Catalogue
    model: Generator
    users: Users
    counts: NDArray[np.int64]
    facts: dict[str, Any] = field(default_factory=dict)
    fingerprint: str = ""
    tested: Evaluation | None = None

    @classmethod
    def fit(
        cls,
        data: Dataset,
        recipe: Recipe | str | None = None,
        *,
        out: Path | str | None = None,
        final: bool = False,
        start: Recommender | None = None,
        cache: Path | None = None,
        replace: bool = False,
    ) -> Recommender:
        """Train a recommender.

        Parameters
        ----------
        data : catalogue and log
        recipe : a recipe, or the name of one; None is "late++", or that of `start`
        out : where the artifact is saved; checkpoints lie beside it until then, so that the same
            call resumes a run that was killed, and loads one that was finished. Without it nothing
            is written.
        final : after the usual run has chosen the number of epochs and measured, train anew on
            everything for that many, for serving
        start : a recommender to continue from on new logs; its items, codes and weights are kept.
            What these have seen is not measured on; see `knows_tests`
        cache : where encoded vectors are kept; None is the user's cache folder
        replace : whether the artifact of another fit may be replaced; it is kept as ``previous`` in
            the new one, and `mgrec rollback` restores it

        Raises
        ------
        RecipeError, DataError, ArtifactError
            If recipe, data or output folder do not fit.
        """
        from mgrec.making import make

        return make(data, recipe, None if out is None else Path(out), final, start, cache, replace)

    def recommend(
        self,
        history: Iterable[ItemId] | None = None,
        *,
        user: ItemId | None = None,
        k: int = 10,
        only: Iterable[ItemId] | None = None,
        exclude: Iterable[ItemId] | None = (),
        exclude_seen: bool = False,
        where: str | None = None,
        max_per: Mapping[str, int] | None = None,
    ) -> Recommendations:
        """Recommend items to a known user, or to anybody with a history.

        Parameters
        ----------
        history : item ids, oldest first; ids that the catalogue does not know are passed over
        user : instead of a history, a user of the log
        k : how many, at least 1; fewer come back only where fewer are allowed
        only : the items allowed; None allows all
        exclude : items not allowed
        exclude_seen : leave out what is in the history
        where : a condition on attributes, such as ``price < 20 and category in ["toys"]``
        max_per : at most so many answers of one value, such as ``{"category": 2}``

        Raises
        ------
        RequestError
            If there is not exactly one of history and user, or something cannot be read.
        """
        outside = () if exclude is None else exclude
        limits = {} if max_per is None else max_per
        request = Request(history, user, k, only, outside, exclude_seen, where, limits)
        return self.recommend_many([request])[0]

    def recommend_many(self, requests: Sequence[Request]) -> list[Recommendations]:
        """Answer several requests in one search; each gets the items that it would get alone.

        Scores agree to float32 rounding (about 1e-5): only items whose scores differ by less may
        change places.

        Raises
        ------
        RequestError
            If one of them does not fit the catalogue; `check` tells which.
        """
        check_process()
        return answer(self, requests)

    def check(self, request: Request) -> None:
        """Refuse a request that does not fit the catalogue, without searching.

        Raises
        ------
        RequestError
            In one line.
        """
        check_process()
        question(self, request)

    def explain(
        self, item: ItemId, history: Iterable[ItemId] | None = None, *, user: ItemId | None = None
    ) -> Explanation:
        """Say what moved an item's score: past items, their modalities, its codes, experts.

        Parameters
        ----------
        item : recommended or not
        history, user : as for `recommend`

        Raises
        ------
        RequestError
            If the catalogue does not know the item, or there is not exactly one of the others.
        """
        check_process()
        asked = Request(history, user)
        return explain(self, item, asked.history, asked.user)

    def similar(
        self, item: ItemId, k: int = 10, *, by: str | None = None, where: str | None = None
    ) -> Recommendations:
        """Return the items most like one, by "text", by "image", or by all that it has (None).

        Raises
        ------
        RequestError
            If the item is unknown or lacks the modality, or the request does not fit.
        """
        check_process()
        return similar(self, item, k, by, where)

    def top(self, history: Sequences, k: int, exclude_seen: bool = False) -> NDArray[np.int64]:
        """Return the items of `rank` alone, as every ranker does; int64 [rows, k]."""
        return self.rank(history, k, exclude_seen)[0]

    def recommend_all(self, path: Path | str, k: int = 10, *, exclude_seen: bool = False) -> int:
        """Write the k best items of every known user to a Parquet file, in bounded memory.

        Columns: ``user_id``, ``rank`` (from 1), ``item_id``, ``score``. Returns how many users.
        With `exclude_seen` the search is widened, up to 400 beams, until no other item can be
        better; without it, the recipe's beams are used.

        Raises
        ------
        RequestError
            If k is below 1, or the path is a folder.
        """
        check_process()
        return everybody.recommend_all(self, Path(path), k, exclude_seen)

    @property
    def final(self) -> bool:
        """Whether it was trained on everything, the test cases included."""
        return "final" in self.facts

    @property
    def knows_tests(self) -> bool:
        """Whether its weights have seen test cases, by `final` or from what they continue."""
        return self.final or bool(self.facts.get("continues", {}).get("saw_tests"))

    def split(self) -> Split:
        """Return what was trained on and what was held out."""
        return split(self.users, self.recipe.split)

    def evaluate(self, *, exclude_seen: bool = False) -> Evaluation:
        """Measure on the test cases: item level, full ranking, intervals over users.

        Parameters
        ----------
        exclude_seen : whether to leave out items of a user's history, with a wider search as in
            `recommend_all`; published comparisons do not

        Raises
        ------
        RequestError
            If nothing was held out, or its weights have seen that.
        """
        check_process()
        parts = self.split()
        if not len(parts.test):
            raise RequestError(
                "evaluate: nothing was held out, expected a split other than 'none', and users with"
                " three interactions or more"
            )
        if self.knows_tests:
            how = "was trained on" if self.final else "continues one that saw some of"
            known = "what was measured before is in its run.json, under 'test'"
            raise RequestError(
                f"evaluate: this artifact {how} the test cases too;"
                f" {known if 'test' in self.facts else 'nothing was measured before'}"
            )
        return self.measured(parts, exclude_seen=exclude_seen)

    def measured(self, parts: Split, *, exclude_seen: bool = False) -> Evaluation:
        """Measure on the test cases of a split, which its training must not have seen."""
        say(f"ranking {len(parts.test):,} test cases: {self.plan(LISTED)}")
        found = self.top(parts.test.history, LISTED, exclude_seen)
        items = self.catalogue.items["item_id"]
        return measure(found, parts, self.users.ids, items, self.catalogue.present())

    def add_items(
        self,
        items: pl.DataFrame | Path | str,
        *,
        embeddings: Ready | None = None,
        folder: Path | str | None = None,
        encoders: Collection[str] = (),
    ) -> Recommender:
        """Return a recommender that knows further items, at once and without training.

        New items are encoded, standardised and quantised as the others were; nobody else's ID
        changes. An item that was removed may come again: it keeps the ID that it had.

        Parameters
        ----------
        items : a frame, or a parquet, csv or jsonl file, with the columns of the catalogue
        embeddings : by modality, ready-made vectors: `Embeddings` with a row for each of the
            items, or ``(item_ids, floats [rows, dim])``; codes, where the catalogue has only codes
        folder : that picture paths are relative to; a file's own folder if not named
        encoders : names of encoders that may be loaded, besides the packaged ones and those that
            this account has used before

        Raises
        ------
        DataError, RecipeError
            In one line, if something is malformed, known already or cannot be encoded.
        """
        check_process()
        content = self.recipe.content
        found = newcomers(
            self.catalogue, items, content, ready=embeddings, folder=folder, encoders=encoders
        )
        return self.over(grown(self.catalogue, found))

    def remove_items(self, ids: Iterable[ItemId]) -> Recommender:
        """Return a recommender that does not recommend some items; histories may still hold them.

        Nobody else's score changes.

        Raises
        ------
        RequestError
            If the catalogue does not know an item, or it was removed before.
        """
        check_process()
        return self.over(shrunk(self.catalogue, self.catalogue.rows_of(ids)))

    def over(self, catalogue: Catalogue) -> Recommender:
        """Return the same recommender over a catalogue that has grown or shrunk."""
        check_process()
        counts = np.pad(self.counts, (0, catalogue.n_items - len(self.counts)))
        model = model_over(self.model, catalogue, counts, self.recipe.search.new_items)
        return replace(self, catalogue=catalogue, model=model, counts=counts, tested=None)

    def save(self, path: Path | str) -> None:
        """Save the artifact as a folder, atomically.

        An existing artifact, of any fit, is replaced and kept as ``previous`` in the new one.

        Raises
        ------
        ArtifactError
            If the folder holds something else, or cannot be written.
        """
        check_process()
        from mgrec.storage import contents_of

        artifact.write(Path(path), contents_of(self))
        say(f"saved: {path}")

    @classmethod
    def load(cls, path: Path | str) -> Recommender:
        """Load what `save` wrote, with what `mgrec.serving.live` has added and removed since.

        The trie stays a map of the artifact's file: replace a folder in use as `save` does, by
        renaming a whole one, and never write into it.

        Raises
        ------
        ArtifactError
            If there is no artifact, or it is corrupt or of a newer format.
        """
        from mgrec.storage import load_version

        return load_version(Path(path))[1]

    def plan(self, k: int) -> Plan:
        """Return how many users are ranked at once, and the memory that it is predicted to take."""
        return plan(self.model, max(self.recipe.search.beams, k), self.recipe.search)

    def rank(
        self, history: Sequences, k: int, exclude_seen: bool = False
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Rank for many histories of item indices at once; empty ones get popular items.

        Returns
        -------
        items : int64 [rows, k], best first, -1 behind the last
        scores : float32 [rows, k], -inf behind the last
        """
        check_process()
        return everybody.rank(self, history, k, exclude_seen)

    @cached_property
    def popularity(self) -> Popularity:
        """How much of the log each item has."""
        return Popularity.of(self.counts)

    @cached_property
    def n_listed(self) -> int:
        """How many items may be recommended."""
        return int(self.catalogue.listed.sum())

    @cached_property
    def listed(self) -> Selection | None:
        """The items of the catalogue that were not removed; None: all."""
        listed = self.catalogue.listed
        return None if listed.all() else Selection.of(self.model.trie, listed)

    @cached_property
    def select(self) -> Callable[[str], Selection]:
        """What selects items by a condition on their attributes."""
        return selections(self.catalogue.items, self.model.trie, self.catalogue.listed)

    @cached_property
    def values(self) -> Callable[[str], Sequences]:
        """What numbers every item's values of a named attribute."""
        return attributes(self.catalogue.items)
