"""The runs that a server holds: each asked in batches, changed one change at a time."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import torch

from mgrec.answers import Recommendations
from mgrec.artifact import UPLOADS
from mgrec.errors import ArtifactError, in_one_line
from mgrec.requests import Request
from mgrec.serving import logs
from mgrec.serving.batching import Batcher, Worker, contained
from mgrec.serving.edition import Edition
from mgrec.serving.gate import objection
from mgrec.serving.limits import Limits
from mgrec.serving.live import Live
from mgrec.serving.metrics import Metrics
from mgrec.serving.refusals import Refusal, one_line

RETRY = 10  # checks of an unchanged folder between two attempts to load it

T = TypeVar("T")


class Served:
    """One run: the edition that answers now, and the way to the next one.

    Parameters
    ----------
    name : under which clients ask for it
    path : its artifact folder
    live : its catalogue on disk
    worker : the threads of the model, shared by all runs
    writers : the thread in which catalogues change, shared by all runs
    pictures : the folder below which its items' picture files lie, or None to show only those
        that were uploaded
    """

    def __init__(
        self,
        name: str,
        path: Path,
        live: Live,
        worker: Worker,
        writers: ThreadPoolExecutor,
        limits: Limits,
        metrics: Metrics,
        pictures: Path | None = None,
    ) -> None:
        self.name, self.path, self.live = name, path, live
        self.pictures = (*([] if pictures is None else [pictures.resolve()]), path / UPLOADS)
        self._worker, self._writers = worker, writers
        self._limits, self._metrics = limits, metrics
        self._writing = asyncio.Lock()
        self.edition = Edition(name, *live.current)
        try:
            contained(self.edition.warm)
        except Exception as error:
            raise ArtifactError(
                f"{path}: it loads but cannot answer: {in_one_line(error)}"
            ) from error
        self._batcher = Batcher(self._answer, worker, most=limits.batch, wait=limits.wait)
        metrics.items.labels(name).set(self.edition.n_items)

    def start(self) -> None:
        self._batcher.start()

    @property
    def lives(self) -> bool:
        """Whether requests for recommendations are answered."""
        return self._batcher.lives

    async def close(self) -> None:
        await self._batcher.close()

    async def recommend(self, request: Request) -> tuple[Edition, Recommendations]:
        """Answer one request, together with those that came at the same time."""
        return await self._batcher.ask(request, self._limits.seconds)

    async def ask(self, question: Callable[[Edition], T]) -> tuple[Edition, T]:
        """Ask the current edition anything else, beside the batches."""
        edition = self.edition
        job = functools.partial(question, edition)
        return edition, await self._worker.run(job, self._limits.seconds)

    async def change(self, kind: str, act: Callable[[Live], T]) -> tuple[Edition, T]:
        """Change the catalogue on disk, then answer with it; requests go on meanwhile.

        It is finished even if the client leaves, so that nobody waits for half a change.
        """
        return await asyncio.shield(asyncio.create_task(self._change(kind, act)))

    async def _change(self, kind: str, act: Callable[[Live], T]) -> tuple[Edition, T]:
        async with self._writing:
            loop = asyncio.get_running_loop()
            turn = functools.partial(self._turn, act)
            found, edition = await loop.run_in_executor(self._writers, contained, turn)
            if edition is not self.edition:
                before, self.edition = self.edition, edition
                self._metrics.changes.labels(self.name, kind).inc()
                self._metrics.items.labels(self.name).set(edition.n_items)
                logs.event(
                    "version",
                    run=self.name,
                    kind=kind,
                    version=edition.version,
                    before=before.version,
                    items=edition.n_items,
                )
            return self.edition, found

    def _turn(self, act: Callable[[Live], T]) -> tuple[T, Edition]:
        """Act, and make the next edition ready before anybody is answered by it."""
        found = act(self.live)
        version, recommender = self.live.current
        if recommender is self.edition.recommender and version == self.edition.version:
            return found, self.edition
        edition = Edition(self.name, version, recommender)
        edition.warm()
        return found, edition

    def _answer(
        self, requests: Sequence[Request]
    ) -> Sequence[tuple[Edition, Recommendations] | Exception]:
        """Answer a batch, all of it by one edition; in the worker's thread."""
        edition = self.edition
        self._metrics.batches.labels(self.name).observe(len(requests))
        with self._metrics.model.labels(self.name).time():
            found: Sequence[Recommendations | Exception]
            try:
                found = contained(lambda: edition.recommender.recommend_many(list(requests)))
            except Exception:  # one that cannot be answered is no reason to refuse the others
                found = [_alone(edition, request) for request in requests]
        return [one if isinstance(one, Exception) else (edition, one) for one in found]


def _alone(edition: Edition, request: Request) -> Recommendations | Exception:
    try:
        return contained(lambda: edition.recommender.recommend_many([request])[0])
    except Exception as error:
        return error


class Shelf:
    """All served runs by name; the first answers where none is named.

    Parameters
    ----------
    runs : artifact folders by name
    pictures : data folders by the same names
    encoders : names of encoders that may be loaded, see `Recommender.add_items`
    accept : accept every new artifact in a run's folder, without the gate
    """

    def __init__(
        self,
        runs: Mapping[str, Path],
        limits: Limits,
        metrics: Metrics,
        pictures: Mapping[str, Path] | None = None,
        encoders: Sequence[str] = (),
        *,
        accept: bool = False,
    ) -> None:
        self._worker = Worker(limits.waiting, limits.others)
        self._writers = ThreadPoolExecutor(1, thread_name_prefix="writer")
        self._watch, self._stuck = limits.watch, limits.stuck
        self._watcher: asyncio.Task[None] | None = None
        metrics.watch_waiting(lambda: self._worker.waiting)
        self._open = False
        # A first version is built on torch's meta device, whose first use imports for a second and
        # would hold up every answer under way.
        with torch.device("meta"):
            torch.nn.Embedding(1, 1)
        self.runs = {
            name: Served(
                name,
                path,
                Live.open(path, encoders, gate=None if accept else objection),
                self._worker,
                self._writers,
                limits,
                metrics,
                (pictures or {}).get(name),
            )
            for name, path in runs.items()
        }

    def __getitem__(self, name: str | None) -> Served:
        """Return a run by its name, or the first.

        Raises
        ------
        Refusal
            404 where none has that name.
        """
        if name is None:
            return next(iter(self.runs.values()))
        if name not in self.runs:
            raise Refusal(404, f"run {name!r}: unknown, expected one of {', '.join(self.runs)}")
        return self.runs[name]

    def start(self) -> None:
        """Begin to answer, in the running event loop."""
        for served in self.runs.values():
            served.start()
        if self._watch:
            self._watcher = asyncio.create_task(self._look())
        self._open = True

    def trouble(self) -> str | None:
        """Say why the server is not ready; None if it is."""
        if not self._open:
            return "the server is starting or stopping"
        if self._watcher is not None and self._watcher.done():
            return "the check for new versions has ended"
        for name, served in self.runs.items():
            if not served.lives:
                return f"run {name}: its batch loop has ended"
        return self._worker.stuck(self._stuck)

    async def close(self) -> None:
        """Answer what waits, finish what is being written, and stop."""
        self._open = False
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.gather(self._watcher, return_exceptions=True)
        for served in self.runs.values():
            await served.close()
        await asyncio.to_thread(self._writers.shutdown)
        await asyncio.to_thread(self._worker.close)

    async def write(self, job: Callable[[], T]) -> T:
        """Run what takes long, and is not the model's, in the writers' thread."""
        return await asyncio.get_running_loop().run_in_executor(self._writers, contained, job)

    async def reload(self, served: Served) -> Edition:
        """Take what stands on disk into use, if it is newer."""
        return (await served.change("reload", lambda live: live.refresh()))[0]

    async def _look(self) -> None:
        """Check for new versions periodically; if one fails to load, the old one stays in service.

        A failure is logged once per state of the folder. It is retried as soon as the folder
        changes, and from time to time while it does not: the cause may be elsewhere.
        """
        failed: dict[str, tuple[object, int]] = {}  # the folder's state, and checks since
        while True:
            await asyncio.sleep(self._watch)
            for name, served in self.runs.items():
                state = await asyncio.to_thread(_state_of, served.path)
                before, looks = failed.get(name, (None, 0))
                if state == before and looks < RETRY:
                    failed[name] = state, looks + 1
                    continue
                try:
                    await self.reload(served)
                    failed.pop(name, None)
                except Exception as error:
                    if state != await asyncio.to_thread(_state_of, served.path):
                        continue  # replaced in the meantime: the failure is outdated
                    if state != before:
                        line = one_line(error)
                        logs.event("reload failed", level=logging.ERROR, run=name, error=line)
                    failed[name] = state, 0


def _state_of(path: Path) -> object:
    """Return a value that changes with the files of an artifact, without opening them."""
    try:
        return [
            (entry.name, entry.inode(), entry.stat().st_mtime_ns, entry.stat().st_size)
            for folder in (path, path / "live")
            if folder.is_dir()
            for entry in sorted(os.scandir(folder), key=lambda entry: entry.name)
            if entry.name not in ("live", "lock")  # a refused change creates these
        ]
    except OSError as error:
        return type(error).__name__
