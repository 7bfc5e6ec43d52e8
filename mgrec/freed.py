"""Freed memory: kept by the process for what comes next, and not given back to the system."""

from functools import cache

import torch

_LARGEST = 31 << 20  # bytes; beyond 32 MiB glibc learns nothing


@cache
def keep_freed_memory() -> None:
    """Let the C library keep what a ranking frees for the next one.

    glibc hands free memory at the end of its heap back to the system above a threshold, which it
    learns from the largest block that was ever freed (`mallopt(3)`, M_MMAP_THRESHOLD). Until then
    every batch is given its memory anew, page by page: a fifth of the default model's time. One
    large block, freed without having been touched, is lesson enough; it costs nothing.
    """
    torch.empty(_LARGEST, dtype=torch.uint8)
