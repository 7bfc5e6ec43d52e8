"""Timing two things against each other on a machine that does other things too."""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path

ROUNDS = 5


def seconds(work: Callable[[], object]) -> float:
    """Return the CPU seconds, of all threads, that one call takes."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


def wall(work: Callable[[], object]) -> float:
    """Return the seconds on the clock that one call takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def medians(
    *works: Callable[[], object],
    rounds: int = ROUNDS,
    warm: int = 1,
    clock: Callable[[Callable[[], object]], float] = wall,
) -> list[float]:
    """Return the median seconds of each, taken in turns so that a busy moment meets all alike."""
    for _ in range(warm):
        for work in works:
            work()
    taken = [[clock(work) for work in works] for _ in range(rounds)]
    return [statistics.median(each) for each in zip(*taken, strict=True)]


def forget_peak() -> float:
    """Begin to count the peak anew, where the system can, and return what is held now, in MiB."""
    resets = Path("/proc/self/clear_refs")
    if resets.exists():
        resets.write_text("5")
    return peak_mib()


def peak_mib() -> float:
    """Return the most memory that this process has held so far, in MiB.

    Not by ``ru_maxrss`` where there is another way: it starts at what the parent process held.
    """
    status = Path("/proc/self/status")
    if status.exists():
        lines = status.read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
