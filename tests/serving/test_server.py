"""The process: it stops without losing what it accepted, and changes under load without a fault."""

import json
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx2 as httpx
import pytest

from mgrec.errors import RequestError
from mgrec.serving.keys import Keys
from mgrec.serving.live import Live
from mgrec.serving.server import serve
from tests.serving.process import SERVE, running


def test_a_signal_ends_it_after_what_it_accepted_is_answered(shop, tmp_path):
    asked = {"history": ["i00", "i05"], "k": 20, "beams": 200}
    answers: list[int] = []

    def ask() -> None:
        answers.append(httpx.post(f"{server.url}/v1/recommend", json=asked, timeout=30).status_code)

    with running(tmp_path / "log", shop / "run", "--watch", 0) as server:
        # One is half sent when the signal comes, the others wait for the model.
        body = json.dumps(asked).encode()
        head = (
            "POST /v1/recommend HTTP/1.1\r\nhost: localhost\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        half = socket.create_connection(("127.0.0.1", server.port))
        half.sendall(head.encode() + body[:10])
        threads = [threading.Thread(target=ask) for _ in range(20)]
        for thread in threads:
            thread.start()
        until = time.monotonic() + 20
        figures = ""
        while time.monotonic() < until and 'route="/v1/recommend"' not in figures:
            figures = httpx.get(f"{server.url}/metrics").text
        server.process.terminate()
        time.sleep(0.3)
        half.sendall(body[10:])
        half.settimeout(30)
        answer = half.recv(1 << 16)
        for thread in threads:
            thread.join(30)
        assert server.process.wait(30) in (0, -15)
    assert answer.startswith(b"HTTP/1.1 200")
    assert answers
    assert set(answers) == {200}
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert not [line for line in lines if line["level"] == "error"]


def test_nothing_fails_and_no_answer_mixes_versions_while_the_catalogue_changes(run, tmp_path):
    """Another process changes it; the server looks every 50 ms."""
    asked = {"history": ["i05", "i10"], "k": 90}
    live = Live.open(run)
    taken = [f"i{number:02}" for number in range(30, 40)]
    listed = {0: {f"i{n:02}" for n in range(90)}}
    answers: list[dict] = []
    done = threading.Event()

    def client() -> None:
        with httpx.Client(base_url=server.url, timeout=30) as session:
            while not done.is_set():
                found = session.post("/v1/recommend", json=asked)
                assert found.status_code == 200, found.text
                answers.append(found.json())

    def wait_for(version: int) -> None:
        until = time.monotonic() + 20
        while time.monotonic() < until and all(a["version"] != version for a in answers[-100:]):
            time.sleep(0.01)

    with running(tmp_path / "log", run, "--watch", 0.05) as server, ThreadPoolExecutor(4) as pool:
        clients = [pool.submit(client) for _ in range(4)]
        wait_for(0)
        for number, item in enumerate(taken, 1):
            assert live.remove_items([item]).version == number
            listed[number] = listed[number - 1] - {item}
            wait_for(number)
        done.set()
        for each in clients:
            each.result(30)
    assert {answer["version"] for answer in answers} == set(range(11))
    for answer in answers:
        assert {item["item_id"] for item in answer["items"]} == listed[answer["version"]]


def test_a_new_artifact_in_the_same_folder_is_taken_into_use(run, tmp_path):
    from mgrec import Recommender

    made = Recommender.load(run)
    with running(tmp_path / "log", run, "--watch", 0.05) as server:
        asked = {"history": ["i05"], "k": 3}
        assert httpx.post(f"{server.url}/v1/recommend", json=asked).status_code == 200
        made.remove_items(["i05"]).save(run)
        until = time.monotonic() + 20
        while time.monotonic() < until:
            found = httpx.post(f"{server.url}/v1/recommend", json=asked | {"only": ["i05", "i06"]})
            assert found.status_code == 200
            if [item["item_id"] for item in found.json()["items"]] == ["i06"]:
                return
        pytest.fail("the new artifact was not taken into use")


def test_headers_that_are_too_large_or_malformed_are_refused(shop, tmp_path):
    def first_line(request: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.settimeout(20)
            try:
                connection.sendall(request)
                return connection.recv(1 << 16).split(b"\r\n")[0]
            except ConnectionError:  # closed on us while we still sent
                return b"closed"

    get = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n"
    with running(tmp_path / "log", shop / "run", "--watch", 0) as server:
        for request in (
            get + b"x-a: 1\r\n evil: folded\r\nx-b\x00: 1\r\n\r\n",
            get + b"x-big: " + b"a" * 200_000 + b"\r\n\r\n",
            get + b"".join(b"x-%d: 1\r\n" % n for n in range(20_000)) + b"\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00",
            b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
            get + b"content-length: -1\r\n\r\n",
        ):
            assert first_line(request).startswith((b"HTTP/1.1 4", b"closed")), request[:80]
        found = httpx.get(f"{server.url}/healthz", headers={"x-request-id": "a%0d%0aset-cookie: b"})
        assert "set-cookie" not in found.headers


def test_what_cannot_be_served_is_refused_at_the_start_in_one_line(shop, tmp_path):
    run = shop / "run"
    (tmp_path / "keys").write_text("read short\n")
    for refused, line in (
        (lambda: serve([run, run]), "a second run named 'run'"),
        (lambda: serve([run], pictures=[tmp_path / "no"]), "expected a folder"),
        (lambda: serve([run], hosts=["a*b"]), r"host 'a\*b': expected a name"),
        (lambda: serve([run], pictures=[tmp_path, tmp_path]), "found 2 folders for 1 runs"),
        (lambda: Keys.of_file(tmp_path / "no"), "cannot be read"),
        (lambda: Keys.of_file(tmp_path / "keys"), "line 1: expected 'read KEY' or 'write KEY'"),
    ):
        with pytest.raises(RequestError, match=line):
            refused()
    command = [sys.executable, "-c", SERVE, "serve", str(tmp_path / "nowhere")]
    found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert found.returncode == 2
    assert found.stderr.strip().splitlines()[-1].startswith("error: ")
