"""Schemathesis on the OpenAPI document: whatever it thinks of is answered as the document says."""

import os
import time
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis.checks import (
    content_type_conformance,
    not_a_server_error,
    response_schema_conformance,
    status_code_conformance,
)

from tests.serving.process import Running, running

CONFORMS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
KINDS = (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE)


def fuzz(server: Running, examples: int, number: int, until: float = float("inf")) -> int:
    """Try every operation with requests that fit and such that do not; return how many."""
    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    asked = 0
    for result in schema.get_all_operations():
        for kind in KINDS:
            operation = result.ok()

            @seed(number)
            @settings(
                max_examples=examples,
                deadline=None,
                database=None,
                derandomize=False,
                phases=[Phase.explicit, Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy(generation_mode=kind))
            def attempt(case) -> None:
                nonlocal asked
                if time.monotonic() < until:
                    case.validate_response(case.call(timeout=60), checks=CONFORMS)
                    asked += 1

            try:
                attempt()
            except Exception as error:
                if "Unsatisfiable" not in type(error).__name__:  # nothing there could be wrong
                    raise
    return asked


def held(process: int) -> int:
    """Return the memory that a process holds, in MiB."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) >> 10


def test_the_document_is_kept_to(run, tmp_path):
    with running(tmp_path / "log", run, "--watch", 0) as server:
        assert fuzz(server, 8, 0) > 100
        assert server.process.poll() is None


@pytest.mark.slow
def test_the_document_is_kept_to_for_ten_minutes_and_memory_stays_flat(run, tmp_path):
    seconds = 30 if os.environ.get("MGREC_SLOW") == "short" else 600
    with running(tmp_path / "log", run, "--watch", 0) as server:
        fuzz(server, 20, 0)
        before = held(server.process.pid)
        until, number = time.monotonic() + seconds, 1
        while time.monotonic() < until:
            fuzz(server, 50, number, until)
            number += 1
        assert held(server.process.pid) < before + 200
        assert server.process.poll() is None
