"""A recommender in service, whose catalogue changes from one version to the next."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from mgrec.content.contracts import Encoder
from mgrec.errors import ArtifactError, RequestError
from mgrec.journal import Journal, append, commit, locked, read_journal, stored
from mgrec.newcomers import Newcomers, Ready, checked, encoder_of, newcomers
from mgrec.recommender import Recommender
from mgrec.replay import replayed
from mgrec.requests import ItemId, checked_ids
from mgrec.storage import at_version, load_version


@dataclass(frozen=True)
class Change:
    """What a change came to, once it was durable and could be seen by the next request.

    Attributes
    ----------
    version : that it made; counts up with every change, a rollback included
    added, removed : items that may be recommended since, and that no longer may
    listed : items that may be recommended now
    seconds : from the call to the swap, encoding included
    problems : what went wrong with single items' content, in words
    """

    version: int
    added: int
    removed: int
    listed: int
    seconds: float
    problems: tuple[str, ...] = ()

    def __str__(self) -> str:
        return (
            f"version {self.version}: {self.added:,} items added, {self.removed:,} removed,"
            f" {self.listed:,} may be recommended ({self.seconds:.2f} s)"
        )


class NotAccepted(ArtifactError):
    """The folder contains another artifact, which was not accepted.

    Attributes
    ----------
    base : identity of that artifact
    reason : why it was not accepted
    """

    def __init__(self, path: Path, base: str, reason: str) -> None:
        super().__init__(f"{path}: contains an artifact that is not in service: {reason}")
        self.base, self.reason = base, reason


Gate = Callable[[Recommender, Recommender], str | None]


@dataclass(frozen=True, eq=False)
class _State:
    """One version whole: readers take the reference once, and never see a mixture."""

    journal: Journal
    recommender: Recommender


@dataclass(eq=False)
class Live:
    """An artifact in service. Any number of threads may read while one changes it.

    Every change is a version: written to the artifact's folder and flushed, then swapped in by one
    assignment. Writers, of this process and of others, wait for each other.

    Examples
    --------
    >>> live = Live.open("runs/shop")                         # doctest: +SKIP
    >>> live.add_items("arrivals.jsonl").version              # doctest: +SKIP
    >>> live.recommender.recommend(history=["sku-1"])         # doctest: +SKIP
    >>> live.rollback()                                       # doctest: +SKIP
    """

    path: Path
    _base: Recommender  # as fitted, what every version is made from
    _state: _State
    encoders: tuple[str, ...] = ()  # that may be loaded, see `Recommender.add_items`
    _gate: Gate | None = None
    _refused: NotAccepted | None = (
        None  # set while the folder contains an artifact that was not accepted
    )
    _writing: threading.Lock = field(default_factory=threading.Lock)
    _encoders: dict[tuple[str, str], Encoder[Any]] = field(default_factory=dict)

    @classmethod
    def open(
        cls, path: Path | str, encoders: Iterable[str] = (), *, gate: Gate | None = None
    ) -> Live:
        """Load an artifact at its present version.

        Parameters
        ----------
        encoders : names of encoders that may be loaded, see `Recommender.add_items`
        gate : called with the recommender in service and a new one in the same folder; returns an
            objection, or None to accept it. Without a gate every new artifact is accepted.

        Raises
        ------
        ArtifactError
            If there is no artifact, or it or its journal is corrupt.
        """
        base, made, journal = load_version(Path(path))
        state = _State(journal, made)
        return cls(Path(path), base, state, tuple(encoders), gate)

    @property
    def recommender(self) -> Recommender:
        """The present version; take it once a request, and the answer is of one version."""
        return self._state.recommender

    @property
    def version(self) -> int:
        return self._state.journal.version

    @property
    def current(self) -> tuple[int, Recommender]:
        """The present version's number and recommender, that belong together."""
        state = self._state
        return state.journal.version, state.recommender

    def add_items(
        self,
        items: pl.DataFrame | Path | str,
        *,
        embeddings: Ready | None = None,
        folder: Path | str | None = None,
    ) -> Change:
        """Add items, as `Recommender.add_items` does, to this artifact.

        Raises
        ------
        DataError, RecipeError
            In one line, if something is malformed, known already or cannot be encoded.
        ArtifactError
            If the change cannot be saved. Whatever is raised, the version before stands.
        """
        begun = time.monotonic()
        with self._writing:
            while True:
                self._refresh()  # another writer may have removed an item that comes back
                journal, made = self._state.journal, self._state.recommender
                found = newcomers(
                    made.catalogue,
                    items,
                    made.recipe.content,
                    ready=embeddings,
                    folder=folder,
                    encoder=self._encoder,
                    encoders=self.encoders,
                )
                with locked(self.path):  # the encoding, which may take minutes, is not in here
                    self._refresh()
                    if self._state.journal.base == journal.base:
                        now = self._state.recommender.catalogue
                        return self._append(checked(found, now), begun)

    def remove_items(self, ids: Iterable[ItemId]) -> Change:
        """Take items off, as `Recommender.remove_items` does, of this artifact.

        Raises
        ------
        RequestError
            If an item is unknown or removed already; nothing is removed then.
        ArtifactError
            If the change cannot be saved.
        """
        begun, wanted = time.monotonic(), checked_ids("items", ids)  # ids may be an iterator
        with self._writing, locked(self.path):
            self._refresh()
            made = self._state.recommender
            rows = made.catalogue.rows_of(wanted)
            if not len(rows):
                raise RequestError("remove: found no items, expected at least one")
            return self._append(made.catalogue.items["item_id"].gather(rows), begun)

    def rollback(self) -> Change:
        """Return to the catalogue before the last change; its version gets a new number.

        Raises
        ------
        RequestError
            If the catalogue is as it was fitted.
        ArtifactError
            If the change cannot be saved.
        """
        begun = time.monotonic()
        with self._writing, locked(self.path):
            self._refresh()
            journal = self._state.journal
            if not journal.entries:
                raise RequestError(f"{self.path}: nothing to roll back: it is as it was fitted")
            undone, shorter = journal.entries[-1], journal.without_last()
            made = self._made(shorter)
            self._state = _State(commit(self.path, shorter), made)
            return self._change(undone.removed, undone.added, begun)

    def refresh(self) -> bool:
        """Load what another process wrote: a version, or another artifact in this folder.

        Returns whether there was anything.

        Raises
        ------
        NotAccepted
            If another artifact is there and the gate objects to it.
        ArtifactError
            If what is there cannot be read. The version in service stays in both cases.
        """
        with self._writing:
            return self._refresh()

    @property
    def refused(self) -> str | None:
        """Why the artifact in the folder is not in service; None if it is."""
        return None if self._refused is None else str(self._refused)

    # ---------------------------------------------------------------- inside

    def _refresh(self) -> bool:
        """Take over what is on the disk; a writer may delete what the last version needed."""
        while (journal := read_journal(self.path)) != self._state.journal:
            if journal.base != self._state.journal.base:
                self._replace(journal.base)
                return True
            try:
                self._state = _State(journal, self._made(journal))
                self._refused = None
                return True
            except ArtifactError:
                if read_journal(self.path) == journal:
                    raise
        self._refused = None
        return False

    def _replace(self, base: str) -> None:
        """Switch to another artifact, unless the gate objects."""
        if self._refused is not None and self._refused.base == base:
            raise NotAccepted(self.path, base, self._refused.reason)
        fitted, made, journal = load_version(self.path)
        if self._gate is not None and (reason := self._gate(self.recommender, made)):
            self._refused = NotAccepted(self.path, journal.base, reason)
            raise self._refused
        self._base, self._state, self._refused = fitted, _State(journal, made), None

    def _append(self, step: Newcomers | pl.Series, begun: float) -> Change:
        """Apply a change, make it durable, swap it in; whatever fails, fails before the swap."""
        before, step = self._state.recommender, stored(step)
        made = before.over(replayed(before.catalogue, [step]))
        self._state = _State(append(self.path, self._state.journal, step), made)
        entry = self._state.journal.entries[-1]
        problems = step.problems if isinstance(step, Newcomers) else ()
        return self._change(entry.added, entry.removed, begun, problems)

    def _made(self, journal: Journal) -> Recommender:
        """Return a version of the artifact in service, from the nearest one in memory."""
        have = self._state.journal.entries
        if journal.entries[: len(have)] == have:
            return at_version(self.path, self._state.recommender, journal.entries[len(have) :])
        return at_version(self.path, self._base, journal.entries)

    def _change(
        self, added: int, removed: int, begun: float, problems: tuple[str, ...] = ()
    ) -> Change:
        listed = int(self.recommender.catalogue.listed.sum())
        return Change(self.version, added, removed, listed, time.monotonic() - begun, problems)

    def _encoder(self, modality: str, name: str) -> Encoder[Any]:
        """Return an encoder, loaded once."""
        key = (modality, name)
        if key not in self._encoders:
            self._encoders[key] = encoder_of(modality, name)
        return self._encoders[key]
