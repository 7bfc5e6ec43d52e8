"""Micro-batching: requests that arrive together are answered together, by one thread."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from mgrec.serving.refusals import Refusal, busy

Asked = TypeVar("Asked")
Answered = TypeVar("Answered")
T = TypeVar("T")


class Worker:
    """The threads in which the model runs: one answers batches, one whatever else is asked.

    One for each, so that answers of a kind never fight over the cores; and no more than one kind
    in each, since an explanation takes as long as dozens of batches, which would wait for it.

    Parameters
    ----------
    most : jobs and requests that may wait or run at once
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.waiting = 0
        self._batches = ThreadPoolExecutor(1, thread_name_prefix="model")
        self._others = ThreadPoolExecutor(1, thread_name_prefix="other")

    def enter(self) -> None:
        """Count one more, or refuse it.

        Raises
        ------
        Refusal
            503 where as many wait as may.
        """
        if self.waiting >= self.most:
            raise busy(f"{self.waiting} requests wait already, expected fewer; try again")
        self.waiting += 1

    def leave(self) -> None:
        self.waiting -= 1

    async def run(self, job: Callable[[], T], seconds: float) -> T:
        """Run one job, beside the batches.

        Raises
        ------
        Refusal
            503 where too many wait, 504 where it takes longer than it may.
        """
        self.enter()
        # Counted until it has run: whoever stopped waiting for it does not make the queue shorter.
        loop = asyncio.get_running_loop()
        future = self._others.submit(job)
        future.add_done_callback(lambda _: _soon(loop, self.leave))
        return await _within(asyncio.wrap_future(future), seconds)

    async def batch(self, job: Callable[[], T]) -> T:
        """Run a batch, whose requests were counted when they came."""
        return await asyncio.wrap_future(self._batches.submit(job))

    def close(self) -> None:
        """Finish what was begun and end the threads."""
        self._batches.shutdown(wait=True)
        self._others.shutdown(wait=True)


@dataclass(eq=False)
class _Ticket(Generic[Asked, Answered]):
    """One request in the queue."""

    asked: Asked
    until: float  # time.monotonic()
    future: asyncio.Future[Answered]


class Batcher(Generic[Asked, Answered]):
    """Gathers requests for a moment and has them answered as one batch.

    Parameters
    ----------
    answer : called in the worker's thread with at most `most` requests; returns for each, in
        order, its answer or the exception that it gets
    wait : seconds that the first of a batch waits for others
    """

    def __init__(
        self,
        answer: Callable[[Sequence[Asked]], Sequence[Answered | Exception]],
        worker: Worker,
        *,
        most: int,
        wait: float,
    ) -> None:
        self._answer, self._worker = answer, worker
        self._most, self._wait = most, wait
        self._queue: deque[_Ticket[Asked, Answered]] = deque()
        self._arrived = asyncio.Event()
        self._task: asyncio.Task[Any] | None = None

    def start(self) -> None:
        """Begin to serve the queue, in the running event loop."""
        self._task = asyncio.create_task(self._serve())

    async def close(self) -> None:
        """Answer what waits, then stop."""
        while self._queue:
            await asyncio.wait([ticket.future for ticket in self._queue])
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def ask(self, asked: Asked, seconds: float) -> Answered:
        """Return the answer to a request.

        Raises
        ------
        Refusal
            503 where too many wait, 504 where there is no answer in time.
        """
        self._worker.enter()
        try:
            future: asyncio.Future[Answered] = asyncio.get_running_loop().create_future()
            self._queue.append(_Ticket(asked, time.monotonic() + seconds, future))
            self._arrived.set()
            return await _within(future, seconds)
        finally:
            self._worker.leave()

    async def _serve(self) -> None:
        while True:
            await self._arrived.wait()
            if len(self._queue) < self._most:
                await asyncio.sleep(self._wait)
            tickets = [self._queue.popleft() for _ in range(min(self._most, len(self._queue)))]
            if not self._queue:
                self._arrived.clear()
            await self._settle(tickets)

    async def _settle(self, tickets: Sequence[_Ticket[Asked, Answered]]) -> None:
        """Answer those that somebody still waits for."""
        now = time.monotonic()
        live = [t for t in tickets if not t.future.done() and t.until > now]
        if not live:
            return
        asked = [ticket.asked for ticket in live]
        try:
            answers = await self._worker.batch(lambda: self._answer(asked))
        except Exception as error:  # a fault of ours is each one's 500, and the queue goes on
            answers = [error] * len(live)
        for ticket, answer in zip(live, answers, strict=True):
            if ticket.future.done():  # nobody waits any more
                continue
            if isinstance(answer, Exception):
                ticket.future.set_exception(answer)
            else:
                ticket.future.set_result(answer)


async def _within(future: asyncio.Future[T], seconds: float) -> T:
    try:
        return await asyncio.wait_for(future, seconds)
    except TimeoutError:
        raise Refusal(504, f"no answer within {seconds:g} s; try again, or ask for less") from None


def _soon(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
    """Call in the loop's thread; a loop that has closed needs no count any more."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(call)
