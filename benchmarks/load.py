"""A load on an HTTP server: clients with a connection each, at their own pace or a given one.

It speaks just enough HTTP/1.1 to cost little of the processor that the server needs too.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass
class Outcome:
    """What came back.

    Attributes
    ----------
    seconds : of each answered request
    failures : what was not answered with 200, in words
    answers : the answers, where they were to be kept
    wall, cpu : seconds of the whole, on the clock and of this process
    """

    seconds: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    answers: list[dict[str, Any]] = field(default_factory=list)
    wall: float = 0.0
    cpu: float = 0.0

    def percentile(self, q: float) -> float:
        """Return a percentile of the times, in milliseconds."""
        return float(np.percentile(self.seconds, q)) * 1000

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.seconds) / self.wall


class Client:
    """One connection that is kept."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, path: str, body: bytes, method: str = "POST") -> tuple[int, bytes]:
        """Return status and body of an answer."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        writer.write(
            f"{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\n\r\n".encode()
            + body
        )
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        return int(head.split(b" ", 2)[1]), await reader.readexactly(length)

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()


async def load(
    port: int,
    path: str,
    bodies: Sequence[bytes],
    *,
    clients: int,
    seconds: float,
    rate: float | None = None,
    keep: bool = False,
) -> Outcome:
    """Ask for some seconds.

    Parameters
    ----------
    bodies : asked in turn
    rate : requests a second, all clients together, at fixed moments, whether or not the server
        keeps up: a time then counts from the moment that the request was due. None: each client
        asks again once it is answered.
    keep : whether answers are kept
    """
    outcome = Outcome()
    begun, cpu = time.perf_counter(), time.process_time()
    end = begun + seconds
    numbers = iter(range(1 << 60))

    async def ask(client: Client, due: float) -> None:
        body = bodies[next(numbers) % len(bodies)]
        try:
            status, answer = await client.post(path, body)
        except (OSError, EOFError) as error:
            outcome.failures.append(repr(error))
            client._streams = None
            return
        if status != 200:
            outcome.failures.append(f"{status} {answer[:200].decode()}")
            return
        outcome.seconds.append(time.perf_counter() - due)
        if keep:
            outcome.answers.append(json.loads(answer))

    async def one(number: int) -> None:
        client = Client(port)
        due = begun + (number / rate if rate else 0)
        while (now := time.perf_counter()) < end and due < end:
            if rate:
                await asyncio.sleep(max(0.0, due - now))
                await ask(client, due)
                due += clients / rate
            else:
                await ask(client, now)
        client.close()

    await asyncio.gather(*(one(number) for number in range(clients)))
    outcome.wall = time.perf_counter() - begun
    outcome.cpu = time.process_time() - cpu
    return outcome


async def beside(
    work: Any, changes: Sequence[Callable[[], Any]], every: float
) -> tuple[Any, list[Any]]:
    """Do `work`, and while it runs one change after the other; return what both came to."""
    task = asyncio.create_task(work)
    done = []
    for change in changes:
        await asyncio.sleep(every)
        done.append(await change())
    return await task, done
