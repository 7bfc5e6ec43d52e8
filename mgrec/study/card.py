"""The reproduction card: what it takes to get a figure again."""

from __future__ import annotations

import platform
import shlex
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

LIBRARIES = ("mgrec", "torch", "numpy", "polars")


def versions() -> dict[str, str]:
    """Return what a run was made with: libraries, Python, system and processor."""
    return {
        **{name: _version(name) for name in LIBRARIES},
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
    }


def processor() -> str:
    """Return the processor's name, as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:  # not Linux
        return platform.processor() or "unknown"
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or "unknown")


def command() -> str:
    """Return the command line of this process, as somebody would type it again."""
    program, *arguments = sys.argv
    return shlex.join([Path(program).name, *arguments])


def card(
    *,
    recipes: str,
    seeds: str,
    fingerprint: str,
    protocol: str,
    more: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return a card, name and entry in the order in which a person reads them."""
    return {
        "command": command(),
        "recipe": recipes,
        "seeds": seeds,
        "data fingerprint": fingerprint[:16],
        "protocol": protocol,
        **(more or {}),
        **versions(),
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:  # run from a source folder that was never installed
        return "not installed"
