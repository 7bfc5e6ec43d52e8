"""Batches: full where many wait, quick where one does, and nobody waits for ever."""

import asyncio
import threading
import time

import pytest

from mgrec.serving.batching import Batcher, Worker
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


def test_other_jobs_have_a_thread_and_share_the_limits():
    async def ask() -> None:
        worker = Worker(1)
        assert await worker.run(lambda: threading.current_thread().name, 5) == "other_0"
        gate = threading.Event()
        first = asyncio.create_task(worker.run(gate.wait, 5))
        await asyncio.sleep(0)
        with pytest.raises(Refusal, match="wait already"):
            await worker.run(lambda: None, 5)
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
