"""What a benchmark ran on: without it a figure means nothing."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from mgrec.model.training import precision

PACKAGES = ("mgrec", "torch", "numpy", "polars", "transformers", "faiss-cpu")


def facts() -> dict[str, str]:
    """Return processor, cores, matrix precision, versions, threads and commit."""
    found = {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "threads": str(torch.get_num_threads()),
        "precision": str(precision("auto", torch.device("cpu"))).removeprefix("torch."),
        "python": platform.python_version(),
        "commit": _commit(),
    }
    if torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        if names:
            return names[0].split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _commit() -> str:
    """Return the commit's short name, with a mark where the tree has changes of its own."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=9"]
    here = Path(__file__).parent
    found = subprocess.run(command, cwd=here, capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"
