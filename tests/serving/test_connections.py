"""Connections: every wait for a client has a limit, and there is a bound on how many may wait."""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from functools import partial

import pytest
import uvicorn

from mgrec.serving.connections import BoundedProtocol, Connections
from mgrec.serving.limits import Limits

GET = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"
POST = b"POST /read HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n"
LARGE = 20 << 20


async def app(scope, receive, send):
    """Answer at once; read the body first at /read, take a second at /slow."""
    import asyncio

    if scope["path"] == "/read":
        while (message := await receive()).get("more_body"):
            pass
        if message["type"] == "http.disconnect" and not scope["query_string"]:
            return
    if scope["path"] == "/slow":
        await asyncio.sleep(1)
    body = b"x" * LARGE if scope["path"] == "/large" else b"ok"
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for start in range(0, len(body), 1 << 16):
        part = body[start : start + (1 << 16)]
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


@contextmanager
def listening(*, descriptors=None, **limits):
    """Serve `app` in a thread; yields a function that connects, and sends something."""
    bounds = Limits(**({"head": 0.3, "idle": 0.3, "reading": 0.3, "writing": 0.3} | limits))
    shared = Connections(bounds, descriptors)
    config = uvicorn.Config(
        app,
        port=0,
        http=partial(BoundedProtocol, shared),
        lifespan="off",
        log_config=None,
        timeout_keep_alive=bounds.idle,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    with ExitStack() as opened:

        def connect(data: bytes = b"") -> socket.socket:
            made = opened.enter_context(socket.create_connection(("127.0.0.1", port)))
            made.settimeout(5)
            made.sendall(data)
            return made

        connect.shared, connect.server = shared, server
        try:
            yield connect
        finally:
            server.should_exit = True
            thread.join(10)
            assert not thread.is_alive()


def received(connection: socket.socket) -> bytes:
    """Return everything until the server closes; a time-out of five seconds fails the test."""
    found = []
    with suppress(ConnectionError):
        while part := connection.recv(1 << 16):
            found.append(part)
    return b"".join(found)


def drip(connection: socket.socket, part: bytes, seconds: float = 3) -> float:
    """Send a part again and again until the server closes; return the seconds that it took."""
    begun = time.monotonic()
    while time.monotonic() - begun < seconds:
        try:
            connection.sendall(part)
            time.sleep(0.05)
        except ConnectionError:
            break
    return time.monotonic() - begun


@pytest.mark.parametrize(
    "start",
    [
        b"G",
        b"GET / HTTP/1.1\r\nhost: localhost\r\nx: ",
        b"POST /read HTTP/1.1\r\n",
        GET[:-2],
    ],
)
def test_a_head_that_does_not_end_gets_408_in_time(start):
    with listening() as connect:
        assert b"408" in received(connect(start))
        assert drip(connect(start), b"y") < 2


@pytest.mark.parametrize("start", [b"", b"\r\n", GET, GET * 3, GET + b"GET / HT"])
def test_an_idle_connection_is_closed_in_time(start):
    with listening() as connect:
        begun = time.monotonic()
        found = received(connect(start))
        assert time.monotonic() - begun < 2
        assert found.count(b"HTTP/1.1 200") == start.count(GET)


@pytest.mark.parametrize(
    "start",
    [
        POST % 1000,
        b"POST /read HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\n",  # nothing reads this body
        b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\n",
    ],
)
def test_a_body_that_does_not_end_is_closed_in_time(start):
    with listening() as connect:
        assert drip(connect(start), b"1") < 2.5
        assert received(connect(GET)).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("path", [b"/read", b"/read?answer"])
def test_a_body_that_is_no_http_gets_one_400_and_no_fault(path, caplog):
    start = b"POST %s HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n" % path
    with listening() as connect:
        for end in (b"zz\r\n", b"1\r\nx\r\nzz\r\n", b"-1\r\n", b"1\r\nxx\r\n"):
            found = received(connect(start + end))
            assert found.startswith(b"HTTP/1.1 400")
            assert found.count(b"HTTP/1.1") == 1
    assert not [one for one in caplog.records if one.levelno >= logging.ERROR]


def test_an_answer_that_is_not_read_is_dropped_in_time():
    with listening() as connect:
        slow = connect(b"GET /large HTTP/1.1\r\nhost: a\r\n\r\n")
        until = time.monotonic() + 5
        for there in (True, False):
            while bool(connect.shared.open) != there and time.monotonic() < until:
                time.sleep(0.02)
        assert not connect.shared.open
        assert len(received(slow)) < LARGE


def test_slow_clients_do_not_hold_up_the_end(caplog):
    with listening(reading=30, writing=30, stopping=0.2) as connect:
        body, unread = connect(POST % 1000), connect(b"GET /large HTTP/1.1\r\nhost: a\r\n\r\n")
        until = time.monotonic() + 5
        while time.monotonic() < until:
            waiting = [one for one in connect.shared.open if one.cycle and one.since]
            if len(waiting) == 2:
                break
            time.sleep(0.02)
        connect.server.should_exit = True
        assert received(body).startswith(b"HTTP/1.1 503")
        assert len(received(unread)) < LARGE
    assert not [one for one in caplog.records if one.levelno >= logging.ERROR]


def test_a_large_answer_that_is_read_comes_whole():
    with listening() as connect:
        found = received(connect(b"GET /large HTTP/1.1\r\nhost: a\r\n\r\n"))
        assert len(found) > LARGE


def test_a_request_that_takes_long_is_not_cut():
    with listening() as connect:
        assert b"200" in received(connect(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n"))


def test_a_connection_that_asks_now_and_then_stays():
    with listening(idle=2, head=1) as connect:
        one = connect()
        for _ in range(5):
            one.sendall(GET)
            assert b"200" in one.recv(1 << 16)
            time.sleep(0.3)


def test_where_connections_are_full_the_longest_idle_one_goes(caplog):
    with (
        caplog.at_level(logging.WARNING, logger="mgrec.serving"),
        listening(connections=3, head=30, idle=30) as connect,
    ):
        held = [connect(GET[:20]) for _ in range(40)]
        assert received(connect(GET + b"GET / HTTP/1.1\r\nconnection: close\r\nhost: a\r\n\r\n"))
        assert len(connect.shared.open) <= 3
        assert received(held[0]) == b""
    lines = [
        record for record in caplog.records if record.getMessage() == "too many open connections"
    ]
    assert len(lines) == 1  # and not one for each
    assert lines[0].facts == {"connections": 3}


def test_a_request_under_way_is_not_closed_for_a_new_connection():
    with listening(connections=2, head=30) as connect:
        slow = [connect(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n") for _ in range(2)]
        time.sleep(0.2)
        assert b"503" in received(connect())
        assert all(b"200" in one.recv(1 << 16) for one in slow)
        assert b"200" in connect(GET).recv(1 << 16)


def test_connections_stay_below_what_the_process_may_open(caplog):
    with caplog.at_level(logging.WARNING, logger="mgrec.serving"):
        assert Connections(Limits(connections=768), 256).most == 192
    assert caplog.records[0].facts == {"connections": 192, "asked": 768, "descriptors": 256}
    assert Connections(Limits(connections=768), 4096).most == 768


STUCK = """
import json, sys, time
from mgrec.serving import logs
from mgrec.serving.limits import Limits
from mgrec.serving.server import run

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        if WHERE == "event loop":
            time.sleep(60)
        import asyncio
        await asyncio.to_thread(time.sleep, 60)

WHERE = sys.argv[1]
logs.to_stderr()
run(app, host="127.0.0.1", port=0, limits=Limits(grace=1))
"""


@pytest.mark.parametrize("where", ["event loop", "thread"])
def test_a_signal_ends_the_process_in_time_whatever_still_runs(where, tmp_path):
    log = tmp_path / "log"
    with log.open("wb") as stream:
        command = [sys.executable, "-c", STUCK, where]
        environment = os.environ | {"PYTHONPATH": os.getcwd()}  # noqa: PTH109
        process = subprocess.Popen(command, stderr=stream, env=environment)
    until = time.monotonic() + 60
    while "running on" not in log.read_text() and time.monotonic() < until:
        time.sleep(0.05)
    begun = time.monotonic()
    process.send_signal(signal.SIGTERM)
    try:
        assert process.wait(20) == 1
    finally:
        process.kill()
    assert time.monotonic() - begun < 5
    last = json.loads(log.read_text().splitlines()[-1])
    assert (last["event"], last["error"]) == ("ended", "work was still running after 1 s")
