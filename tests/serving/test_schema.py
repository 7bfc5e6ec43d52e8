"""Schemathesis on the OpenAPI document: whatever it thinks of, the server answers and goes on."""

import os
import shutil
import time
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error

from mgrec.serving.app import application
from mgrec.serving.limits import Limits
from mgrec.serving.metrics import Metrics
from mgrec.serving.shelf import Shelf
from tests.serving.process import running


def memory(process: int) -> int:
    """Return what a process holds, in MiB."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) >> 10


def fuzz(schema, examples: int, seed: int = 0, until: float = float("inf")) -> int:
    """Try every operation; return how many requests were answered."""
    asked = 0
    for result in schema.get_all_operations():
        operation = result.ok()

        @settings(
            max_examples=examples,
            deadline=None,
            database=None,
            derandomize=not seed,
            suppress_health_check=list(HealthCheck),
        )
        @schemathesis_given(operation)
        def attempt(case) -> None:
            nonlocal asked
            if time.monotonic() > until:
                return
            found = case.call(timeout=30)
            asked += 1
            case.validate_response(found, checks=[not_a_server_error])
            assert found.status_code != 422 or "\n" not in found.json()["error"]

        attempt()
    return asked


def schemathesis_given(operation):
    from hypothesis import given

    return given(case=operation.as_strategy())
