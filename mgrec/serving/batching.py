"""Micro-batching: requests that arrive together are answered together, by one thread."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from mgrec.serving.refusals import Refusal, busy

Asked = TypeVar("Asked")
Answered = TypeVar("Answered")
T = TypeVar("T")


class Fault(Exception):
    """A job in a thread raised something that an event loop cannot handle."""


def contained(job: Callable[[], T]) -> T:
    """Run a job and turn anything that it raises into an ordinary exception.

    A panic of Polars is not an `Exception` and would end the task that waits for the job. A
    `StopIteration` cannot be set on a future. A cancellation or timeout inside the job would look
    like one of the request. Every job that the server runs in a thread goes through here.

    Raises
    ------
    Fault
        In place of any such exception.
    """
    try:
        return job()
    except (StopIteration, StopAsyncIteration, CancelledError, TimeoutError) as error:
        raise Fault(f"{type(error).__name__}: {error}") from error
    except Exception:
        raise
    except BaseException as error:
        raise Fault(f"{type(error).__name__}: {error}") from error


class Worker:
    """The threads in which the model runs: one answers batches, one everything else.

    Each has a queue and a limit, so that many explanations, each as slow as dozens of batches,
    neither delay recommendations nor fill their queue.

    Parameters
    ----------
    most : maximum requests for recommendations that wait or run
    others : maximum other jobs, such as explanations, that wait or run
    """

    def __init__(self, most: int, others: int = 16) -> None:
        self.most, self.most_others = most, others
        self.waiting = self.waiting_others = 0
        self._begun: dict[str, float] = {}  # running jobs and their start times
        self._batches = ThreadPoolExecutor(1, thread_name_prefix="model")
        self._others = ThreadPoolExecutor(1, thread_name_prefix="other")

    def stuck(self, seconds: float) -> str | None:
        """Name a thread that has run one job for longer than `seconds`; None if there is none."""
        now = time.monotonic()
        for name, begun in list(self._begun.items()):
            if now - begun > seconds:
                return f"the {name} thread has run one job for {now - begun:.0f} s"
        return None

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
        if self.waiting_others >= self.most_others:
            raise busy(f"{self.waiting_others} such requests are waiting already, expected fewer")
        self.waiting_others += 1
        # Counted until it has run: a client that leaves does not shorten the queue.
        loop = asyncio.get_running_loop()
        future = self._others.submit(self._timed, "other", job)
        future.add_done_callback(lambda _: _soon(loop, self._leave_others))
        return await _within(asyncio.wrap_future(future), seconds)

    async def batch(self, job: Callable[[], T]) -> T:
        """Run a batch, whose requests were counted when they came."""
        return await asyncio.wrap_future(self._batches.submit(self._timed, "model", job))

    def close(self) -> None:
        """Finish what was begun and end the threads."""
        self._batches.shutdown(wait=True)
        self._others.shutdown(wait=True)

    def _leave_others(self) -> None:
        self.waiting_others -= 1

    def _timed(self, name: str, job: Callable[[], T]) -> T:
        self._begun[name] = time.monotonic()
        try:
            return contained(job)
        finally:
            self._begun.pop(name, None)


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
        self._running: Sequence[_Ticket[Asked, Answered]] = ()
        self._arrived = asyncio.Event()
        self._task: asyncio.Task[Any] | None = None

    def start(self) -> None:
        """Begin to serve the queue, in the running event loop."""
        self._task = asyncio.create_task(self._serve())

    @property
    def lives(self) -> bool:
        """Whether the queue is served."""
        return self._task is not None and not self._task.done()

    async def close(self) -> None:
        """Answer what waits, then stop."""
        while self.lives and (tickets := [*self._running, *self._queue]):
            await asyncio.wait([ticket.future for ticket in tickets])
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
            self._running = tickets
            await self._settle(tickets)
            self._running = ()

    async def _settle(self, tickets: Sequence[_Ticket[Asked, Answered]]) -> None:
        """Answer those that somebody still waits for."""
        now = time.monotonic()
        live = [t for t in tickets if not t.future.done() and t.until > now]
        if not live:
            return
        asked = [ticket.asked for ticket in live]
        try:
            answers = await self._worker.batch(lambda: self._answer(asked))
            if len(answers) != len(asked):
                raise Fault(f"found {len(answers)} answers, expected {len(asked)}")
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
    except TimeoutError:  # of waiting; a timeout inside the job is contained
        raise Refusal(504, f"no answer within {seconds:g} s; try again, or ask for less") from None


def _soon(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
    """Call in the loop's thread; a loop that has closed needs no count any more."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(call)
