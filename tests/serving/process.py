"""A real server in a process of its own, for what only such a one can show."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SERVE = "from mgrec.cli import main; main()"


@dataclass
class Running:
    """A server that answers."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def running(log: Path, *arguments: object) -> Iterator[Running]:
    """Serve on a free port until the block ends; `arguments` follow ``mgrec serve``."""
    command = [sys.executable, "-c", SERVE, "serve", *map(str, arguments), "--port", "0"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path.cwd())}
    with log.open("wb") as stream:
        process = subprocess.Popen(command, stderr=stream, env=environment)
    try:
        yield Running(process, _port(process, log), log)
    finally:
        process.terminate()
        process.wait(60)


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    """Wait until the log tells where the server listens."""
    until = time.monotonic() + 120
    while time.monotonic() < until and process.poll() is None:
        if found := re.search(r"running on http://127\.0\.0\.1:(\d+)", log.read_text()):
            return int(found.group(1))
        time.sleep(0.05)
    raise AssertionError(f"the server did not start: {log.read_text()}")
