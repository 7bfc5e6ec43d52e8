"""Cores: the same task over many parts, a part a core at a time; and the process that owns them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from threading import Barrier, Lock, Semaphore
from typing import TypeVar

import torch

from mgrec.errors import ProcessError

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
    gate = Semaphore(at_once)

    def in_turn(part: T) -> R:
        with gate:
            return task(part)

    pool = _pool(threads)
    futures = [pool.submit(in_turn, part) for part in parts]
    try:
        return [future.result() for future in futures]
    finally:
        for future in futures:
            future.cancel()
        wait(futures)


def _pool(threads: int) -> ThreadPoolExecutor:
    """Return a pool that stays: a thread's first batch pays for memory that later ones find."""
    with _making:
        if threads not in _pools:
            pool = ThreadPoolExecutor(threads, "mgrec", _work_alone)
            # All of them begin here, as each also sets the number of whichever begins later.
            all_there = Barrier(threads)
            wait([pool.submit(all_there.wait) for _ in range(threads)])
            torch.set_num_threads(threads)
            _pools[threads] = pool
        return _pools[threads]


_pools: dict[int, ThreadPoolExecutor] = {}
_making = Lock()


def _work_alone() -> None:
    """Give PyTorch one thread in this one."""
    torch.set_num_threads(1)
    torch.get_num_threads()  # a thread's first look settles its number


os.register_at_fork(after_in_child=_pools.clear)  # a child has none of its parent's threads

_working: set[int] = set()  # process ids that have worked; a forked child inherits the set


def check_process() -> None:
    """Refuse to work in a child process that was forked after mgrec had started to work.

    The thread pools of polars and torch do not survive a fork: a call that needs them would block
    forever. A process that was forked after `import mgrec` alone may work.

    Raises
    ------
    ProcessError
        In such a child process.
    """
    process = os.getpid()
    if not _working:
        _working.add(process)
    elif process not in _working:
        raise ProcessError(
            "this process was forked after mgrec was loaded: use the 'spawn' or 'forkserver' start"
            " method, or load only in the child"
        )
