"""Cores: the same task over many parts, a part a core at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")


def on_cores(task: Callable[[T], R], parts: Sequence[T], most: int | None = None) -> list[R]:
    """Return ``task(part)`` for every part, in their order, on as many threads as PyTorch has.

    Splitting every product over the cores instead makes them wait for each other after each one:
    slower on an idle machine, and several times slower on a busy one. An error, or an interrupt,
    ends it when the parts already begun are done.

    Parameters
    ----------
    most : parts in work at once; None means a part a thread
    """
    threads = torch.get_num_threads()
    at_once = min(threads, len(parts), most or threads)
    if at_once < 2:
        return [task(part) for part in parts]
    pool = ThreadPoolExecutor(at_once, "mgrec", torch.set_num_threads, (1,))
    try:
        return list(pool.map(task, parts))
    finally:
        pool.shutdown(cancel_futures=True)
        # A thread sets its own number and that of threads born later; this restores the latter.
        torch.set_num_threads(threads)
