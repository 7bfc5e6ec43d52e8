"""Connections: limits for their number and for waiting for a client."""

from __future__ import annotations

import asyncio
import logging
import resource
import time
from typing import Any, Literal

import h11
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol

from mgrec.serving import logs
from mgrec.serving.limits import Limits

RESERVED = 64  # descriptors for files, threads and the listening socket
LINGER = 1.0  # seconds in which a closed connection may receive its last bytes
QUIET = 10.0  # seconds between log lines about too many connections

# What a connection waits for: a head, a body, or the client's reading of an answer.
Wait = Literal["head", "body", "answer"]


class Connections:
    """All open connections of one server.

    At the limit, the connection that has waited longest for its client is closed for the new one. A
    connection whose request is being answered is never closed; if all are, the new one gets 503.

    Parameters
    ----------
    descriptors : limit of open files of the process; None asks the system
    """

    def __init__(self, limits: Limits, descriptors: int | None = None) -> None:
        if descriptors is None:
            descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        if descriptors < 0:  # RLIM_INFINITY
            descriptors = 1 << 30
        self.limits = limits
        self.most = max(1, min(limits.connections, descriptors - RESERVED))
        self.open: set[BoundedProtocol] = set()
        self._logged = float("-inf")
        if self.most < limits.connections:
            logs.event(
                "fewer connections",
                level=logging.WARNING,
                connections=self.most,
                asked=limits.connections,
                descriptors=descriptors,
            )

    def admit(self, new: BoundedProtocol) -> None:
        """Add a new connection, and close another one if there are too many."""
        if len(self.open) < self.most:
            self.open.add(new)
            return
        if time.monotonic() - self._logged > QUIET:
            self._logged = time.monotonic()
            logs.event("too many open connections", level=logging.WARNING, connections=self.most)
        waiting = [one for one in self.open if one.since is not None]
        if not waiting:
            new.refuse(503, "too many connections, try again")
            return
        oldest = min(waiting, key=lambda one: one.since or 0.0)
        self.open.discard(oldest)
        oldest.drop()
        self.open.add(new)


class BoundedProtocol(H11Protocol):
    """uvicorn's HTTP/1.1 over h11 with a time limit for every wait for a client.

    uvicorn limits only idle connections, until their next byte. Here the head of a request, its
    body and the reading of its answer have limits too.

    Parameters
    ----------
    shared : all connections of the server
    """

    def __init__(self, shared: Connections, **options: Any) -> None:
        super().__init__(**options)
        self.since: float | None = None  # start of waiting for the client; None if it does not wait
        self._shared = shared
        self._wait: Wait | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._begin("head", self._shared.limits.head)
        self._shared.admit(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()
        self._shared.open.discard(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if not self.transport.is_closing():
            super().data_received(data)
            self._look()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._look()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._look()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._look()

    def send_400_response(self, msg: str) -> None:
        self.refuse(400, msg)

    def shutdown(self) -> None:
        """Accept no further request; a body on its way, or an unread answer, has a moment left."""
        super().shutdown()
        if self._wait in ("body", "answer") and not self.transport.is_closing():
            late = self.drop if self._wait == "answer" else self._stop
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self.loop.call_later(self._shared.limits.stopping, late)

    def _stop(self) -> None:
        self.refuse(503, "the server is stopping, try again")

    def refuse(self, status: int, line: str) -> None:
        """Answer without the application, unless an answer has started, and close."""
        headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
        try:
            head = h11.Response(status_code=status, headers=headers, reason=STATUS_PHRASES[status])
            for event in (head, h11.Data(data=line.encode()), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event))
        except h11.LocalProtocolError:  # an answer has started
            pass
        if self.cycle is not None:  # the application no longer needs to answer
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self._close()

    def drop(self) -> None:
        """Close at once and drop unsent bytes."""
        self._end()
        self.transport.abort()

    def _close(self) -> None:
        self._end()
        self.transport.close()
        self._timer = self.loop.call_later(LINGER, self.transport.abort)

    def _look(self) -> None:
        """Start or end the time limit, by whether the client has to act next."""
        limits = self._shared.limits
        if self.transport.is_closing():
            return
        if self.flow.write_paused:
            self._begin("answer", limits.writing)
        elif self.cycle is None or self.cycle.response_complete:
            self._begin("head", limits.head)  # includes the unread rest of a body
        elif self.cycle.more_body:
            # If the application reads the body, its own limit comes first and answers 408.
            self._begin("body", limits.reading + LINGER)
        else:
            self._end()

    def _begin(self, wait: Wait, seconds: float) -> None:
        """Start a wait, unless the same one is running."""
        if self._wait == wait:
            return
        self._end()
        self._wait, self.since = wait, time.monotonic()
        self._timer = self.loop.call_later(seconds, self._expired)

    def _end(self) -> None:
        self._wait = self.since = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expired(self) -> None:
        half = self._wait == "head" and bool(self.conn.trailing_data[0])
        if self._wait == "answer":
            self.drop()
        elif half and self.conn.their_state is h11.IDLE:
            seconds = self._shared.limits.head
            self.refuse(408, f"expected the whole head of a request within {seconds:g} s")
        else:
            self._close()
