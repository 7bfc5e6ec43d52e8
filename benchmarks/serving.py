"""The server under load: a real process on loopback, asked over HTTP from another one.

``--data RUN`` names an artifact; without it a planted world of MovieLens-1M's size is trained for
one epoch. The artifact is copied: changes under load are made to the copy.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np

from benchmarks.figure import Figure, bounded
from benchmarks.load import Client, Outcome, beside, load
from mgrec import Recipe, Recommender
from mgrec.data.worlds import make_world

BEAMS, K = 20, 10
CLIENTS = 32
SWAPS, ADDED = 10, 100  # changes of the catalogue under load, and items of each
SERVE = "from mgrec.cli import main; main()"


def run(quick: bool, data: Path | None) -> list[Figure]:
    """Return the figures of one artifact."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "run"
        if data is None:
            _train(copy, quick)
        else:
            shutil.copytree(data, copy)
        made = Recommender.load(copy)
        bodies = _requests(made)
        seconds = 2.0 if quick else 20.0
        with _served(copy) as (port, process):
            asyncio.run(load(port, "/v1/recommend", bodies, clients=8, seconds=min(seconds, 3)))
            return asyncio.run(_measured(port, process, bodies, made, seconds))


async def _measured(
    port: int, process: int, bodies: list[bytes], made: Recommender, seconds: float
) -> list[Figure]:
    where = f"{made.catalogue.n_items:,} items, {BEAMS} beams"
    path = "/v1/recommend"
    used = _cpu(process)
    closed = await load(port, path, bodies, clients=CLIENTS, seconds=seconds)
    spent = _cpu(process) - used
    ours, theirs = closed.cpu / closed.wall, spent / closed.wall
    share = f"load generator {ours:.0%} of a core, server {theirs:.0%}"
    one = await load(port, path, bodies, clients=1, seconds=seconds / 2)
    fixed = await load(port, path, bodies, clients=CLIENTS, seconds=seconds, rate=200)
    work = load(port, path, bodies, clients=CLIENTS, seconds=seconds, keep=True)
    swapped, versions = await beside(work, _changes(port, made), seconds / (SWAPS + 2))
    mixed = _mixed(swapped, versions)
    failed = sum(len(each.failures) for each in (closed, one, fixed, swapped))
    return [
        Figure(
            f"requests a second, {CLIENTS} clients",
            closed.rate,
            "1/s",
            target="at least 200",
            met=closed.rate >= 200,
            note=f"{where}; {share}",
        ),
        Figure(
            f"CPU of the server a request, {CLIENTS} clients",
            spent / len(closed.seconds) * 1000,
            "CPU ms",
            note="what another user of the machine cannot change much",
        ),
        *_times(f"{CLIENTS} clients", closed, 200),
        bounded("p50, 1 client", one.percentile(50), "ms", 25, where),
        Figure("p99, 1 client", one.percentile(99), "ms"),
        *_times(f"{CLIENTS} clients at 200 requests a second", fixed, 200),
        Figure(
            f"requests a second, {CLIENTS} clients, {SWAPS} hot swaps",
            swapped.rate,
            "1/s",
            note=f"{ADDED} items added or removed in each, versions {versions[0]}-{versions[-1]}",
        ),
        *_times(f"{CLIENTS} clients, {SWAPS} hot swaps", swapped, 200),
        bounded("requests that failed, of all", failed, "", 0, _first(closed, one, fixed, swapped)),
        bounded("answers that mix versions, of all under hot swaps", mixed, "", 0),
    ]


def _times(name: str, found: Outcome, most: float) -> list[Figure]:
    return [
        Figure(f"p50, {name}", found.percentile(50), "ms"),
        bounded(f"p99, {name}", found.percentile(99), "ms", most),
    ]


def _first(*outcomes: Outcome) -> str:
    failures = [line for outcome in outcomes for line in outcome.failures]
    return f"the first: {failures[0]}" if failures else ""


def _requests(made: Recommender) -> list[bytes]:
    """Return requests with the histories of users, as they stand in the log."""
    ids = made.catalogue.items["item_id"]
    rng = np.random.default_rng(0)
    bodies = []
    for user in rng.permutation(len(made.users))[:2000].tolist():
        row = np.asarray(made.users.log[user])[-made.recipe.model.history :]
        history = ids.gather(row.tolist()).to_list()
        asked = {"history": history, "k": K, "beams": BEAMS, "exclude_seen": True}
        bodies.append(json.dumps(asked).encode())
    return bodies


def _changes(port: int, made: Recommender) -> list[object]:
    """Return the swaps: items of ready-made vectors that come, and go again."""
    rng = np.random.default_rng(1)
    client = Client(port)
    integers = made.catalogue.items["item_id"].dtype.is_integer()
    names = [10**9 + i if integers else f"bench-{i}" for i in range(ADDED)]
    embeddings = {}
    for name, scaler in made.catalogue.scalers.items():
        stream = BytesIO()
        np.save(stream, rng.normal(size=(ADDED, len(scaler.mean))).astype(np.float32))
        embeddings[name] = base64.b64encode(stream.getvalue()).decode()
    add = {"items": [{"item_id": name} for name in names], "embeddings": embeddings}

    async def change(method: str, asked: dict[str, object]) -> int:
        status, answer = await client.post("/v1/items", json.dumps(asked).encode(), method)
        if status != 200:
            raise RuntimeError(f"{method} /v1/items: {status} {answer.decode()}")
        return int(json.loads(answer)["version"])

    def swap(number: int) -> object:
        if number % 2 == 0:
            return lambda: change("POST", add)
        return lambda: change("DELETE", {"item_ids": names})

    return [swap(number) for number in range(SWAPS)]


def _mixed(found: Outcome, versions: list[int]) -> int:
    """Count answers with an item that their version does not have."""
    with_new = set(versions[0::2])
    before = versions[0] - 1
    wrong = 0
    for answer in found.answers:
        new = any(str(i["item_id"]).startswith(("bench-", "10000000")) for i in answer["items"])
        known = answer["version"] in versions or answer["version"] == before
        wrong += not known or (new and answer["version"] not in with_new)
    return wrong


@contextmanager
def _served(run: Path) -> Iterator[tuple[int, int]]:
    """Serve an artifact in a process of its own; gives its port and process id."""
    command = [sys.executable, "-c", SERVE, "serve", str(run), "--port", "0"]
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(command, stderr=log, env=os.environ | {"OMP_NUM_THREADS": "1"})
        try:
            yield _port(process, log), process.pid
        finally:
            process.terminate()
            process.wait(60)


def _port(process: subprocess.Popen[bytes], log: object) -> int:
    """Wait until the server's log tells where it listens."""
    until = time.monotonic() + 120
    while time.monotonic() < until and process.poll() is None:
        log.seek(0)  # type: ignore[attr-defined]
        text = log.read()  # type: ignore[attr-defined]
        if found := re.search(r"running on http://127\.0\.0\.1:(\d+)", text):
            return int(found.group(1))
        time.sleep(0.1)
    log.seek(0)  # type: ignore[attr-defined]
    raise RuntimeError(f"the server did not start: {log.read()}")  # type: ignore[attr-defined]


def _cpu(process: int) -> float:
    """Return the CPU seconds that a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _train(folder: Path, quick: bool) -> None:
    size = {"items": 300, "users": 300} if quick else {"items": 3416, "users": 6040}
    data = make_world(0, **size).embedded()
    settings = ["training.epochs=1", "alignment.epochs=1", "split.kind=none"]
    Recommender.fit(data, Recipe.named("late++").override(settings), out=folder)
