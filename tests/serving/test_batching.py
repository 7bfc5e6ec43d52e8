"""Batches: full where many wait, quick where one does, and nobody waits for ever."""

import asyncio
import concurrent.futures
import threading
import time

import polars as pl
import pytest

from mgrec.serving.batching import Batcher, Fault, Worker
from mgrec.serving.refusals import Refusal


def batcher(answer, worker, most=4, wait=0.001) -> Batcher:
    made = Batcher(answer, worker, most=most, wait=wait)
    made.start()
    return made


def test_those_that_wait_are_answered_together_and_each_its_own():
    sizes = []

    def doubled(asked):
        sizes.append(len(asked))
        return [number * 2 for number in asked]

    async def all_of(n: int) -> list[int]:
        made = batcher(doubled, Worker(100))
        found = await asyncio.gather(*(made.ask(number, 5) for number in range(n)))
        await made.close()
        return found

    assert asyncio.run(all_of(10)) == [number * 2 for number in range(10)]
    assert sizes == [4, 4, 2]


def test_one_that_fails_fails_alone_and_a_fault_fails_its_batch_only():
    calls = []

    def answer(asked):
        calls.append(list(asked))
        if "fault" in asked:
            raise RuntimeError("a fault")
        return [Refusal(422, "no") if one == "bad" else one.upper() for one in asked]

    async def ask() -> list[object]:
        made = batcher(answer, Worker(100))
        found = [
            await asyncio.gather(*(made.ask(w, 5) for w in words), return_exceptions=True)
            for words in (("a", "bad", "b"), ("c", "fault"), ("d",))
        ]
        await made.close()
        return found

    first, second, third = asyncio.run(ask())
    assert first[0] == "A"
    assert isinstance(first[1], Refusal)
    assert first[2] == "B"
    assert all(isinstance(found, RuntimeError) for found in second)
    assert third == ["D"]


def test_too_many_are_refused_and_too_slow_ones_end():
    gate = threading.Event()

    def slow(asked):
        gate.wait(10)
        return list(asked)

    async def ask() -> tuple[list[object], float]:
        worker = Worker(3)
        made = batcher(slow, worker, most=1)
        begun = time.monotonic()
        found = await asyncio.gather(*(made.ask(n, 0.2) for n in range(5)), return_exceptions=True)
        taken = time.monotonic() - begun
        assert worker.waiting == 0
        gate.set()
        assert await made.ask(7, 5) == 7  # what nobody waits for any more is not answered first
        await made.close()
        return found, taken

    found, taken = asyncio.run(ask())
    assert sorted(refusal.status for refusal in found) == [503, 503, 504, 504, 504]
    assert taken < 2
    assert [r.headers.get("Retry-After") for r in found if r.status == 503] == ["1", "1"]


def test_closing_answers_what_was_accepted():
    def slow(asked):
        time.sleep(0.02)
        return list(asked)

    async def ask() -> list[int]:
        made = batcher(slow, Worker(100), most=2)
        waiting = [asyncio.create_task(made.ask(n, 5)) for n in range(9)]
        await asyncio.sleep(0)
        await made.close()
        return await asyncio.gather(*waiting)

    assert asyncio.run(ask()) == list(range(9))


def test_other_jobs_have_a_thread_and_a_limit():
    async def ask() -> None:
        worker = Worker(0, others=1)
        assert await worker.run(lambda: threading.current_thread().name, 5) == "other_0"
        gate = threading.Event()
        first = asyncio.create_task(worker.run(gate.wait, 5))
        await asyncio.sleep(0)
        try:
            with pytest.raises(Refusal, match="waiting already"):
                await worker.run(lambda: None, 5)
        finally:
            gate.set()
        await first
        with pytest.raises(Refusal, match=r"no answer within 0\.05 s"):
            await worker.run(lambda: time.sleep(0.3), 0.05)

    asyncio.run(ask())


def test_a_batch_does_not_wait_for_what_else_is_asked():
    """An explanation takes as long as dozens of batches."""

    async def ask() -> list[str]:
        worker, gate = Worker(100), threading.Event()
        made = batcher(lambda asked: [one.upper() for one in asked], worker)
        slow = asyncio.create_task(worker.run(gate.wait, 5))
        await asyncio.sleep(0)
        found = await made.ask("a", 2)
        gate.set()
        await slow
        await made.close()
        return [found]

    assert asyncio.run(ask()) == ["A"]


@pytest.mark.parametrize(
    "raised",
    [
        pl.exceptions.PanicException("a panic"),
        SystemExit(3),
        KeyboardInterrupt(),
        GeneratorExit(),
        StopIteration(),
        StopAsyncIteration(),
        asyncio.CancelledError(),
        concurrent.futures.CancelledError(),
        TimeoutError(),
        MemoryError(),
        RecursionError(),
        BaseException("anything"),
    ],
    ids=lambda raised: type(raised).__module__ + "." + type(raised).__name__,
)
def test_a_batch_that_fails_whatever_it_raises_leaves_the_next_alone(raised):
    def answer(asked):
        if "bad" in asked:
            raise raised
        return asked

    async def ask() -> None:
        worker = Worker(100)
        made = batcher(answer, worker)
        for _ in range(2):
            found = await asyncio.gather(
                made.ask("a", 5), made.ask("bad", 5), return_exceptions=True
            )
            assert all(isinstance(one, Fault | MemoryError | RecursionError) for one in found)
            assert await made.ask("b", 5) == "b"
            with pytest.raises((Fault, MemoryError, RecursionError)):
                await worker.run(lambda: answer(["bad"]), 5)
            assert await worker.run(lambda: 7, 5) == 7
        assert made.lives
        assert (worker.waiting, worker.waiting_others) == (0, 0)
        await made.close()
        assert not made.lives

    asyncio.run(ask())


def test_a_batch_with_too_few_answers_fails_and_the_next_is_answered():
    async def ask() -> None:
        made = batcher(lambda asked: asked[1:] if "bad" in asked else asked, Worker(100))
        with pytest.raises(Fault, match="found 0 answers, expected 1"):
            await made.ask("bad", 5)
        assert await made.ask("b", 5) == "b"
        await made.close()

    asyncio.run(ask())


def test_closing_waits_for_the_batch_that_runs():
    async def ask() -> int:
        gate = threading.Event()
        made = batcher(lambda asked: [gate.wait(5) for _ in asked], Worker(100))
        asked = asyncio.create_task(made.ask(1, 5))
        await asyncio.sleep(0.05)
        closing = asyncio.create_task(made.close())
        await asyncio.sleep(0.05)
        gate.set()
        await closing
        return await asked

    assert asyncio.run(ask()) is True


def test_a_flood_of_explanations_leaves_recommendations_alone():
    async def ask() -> None:
        worker, gate = Worker(4, others=4), threading.Event()
        made = batcher(list, worker)
        flood = [asyncio.create_task(worker.run(gate.wait, 5)) for _ in range(50)]
        await asyncio.sleep(0.05)
        try:
            assert await asyncio.gather(*(made.ask(n, 5) for n in range(4))) == [0, 1, 2, 3]
        finally:
            gate.set()
        found = await asyncio.gather(*flood, return_exceptions=True)
        assert sum(one is True for one in found) == 4
        assert {one.status for one in found if one is not True} == {503}
        await made.close()

    asyncio.run(ask())


def test_a_job_that_does_not_end_is_known_as_stuck():
    async def ask() -> None:
        worker, gate = Worker(4), threading.Event()
        assert worker.stuck(0) is None
        job = asyncio.create_task(worker.run(gate.wait, 5))
        await asyncio.sleep(0.1)
        try:
            assert "the other thread has run one job" in str(worker.stuck(0.05))
            assert worker.stuck(5) is None
        finally:
            gate.set()
        await job
        assert worker.stuck(0) is None

    asyncio.run(ask())
