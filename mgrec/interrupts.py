"""Ctrl-C that is not lost: what Python swallows in a callback is raised again at the next step."""

import signal
from types import FrameType

_asked: list[int] = []


def keep_interrupts() -> None:
    """Remember Ctrl-C; to be called in the main thread, by a program that may be interrupted.

    An exception in a destructor or in a weak reference's callback ends there, and it is chance
    whether Ctrl-C meets one: imports and garbage collection run many.
    """
    signal.signal(signal.SIGINT, _remember)


def raise_if_interrupted() -> None:
    """Raise what was asked for and did not arrive.

    Raises
    ------
    KeyboardInterrupt
    """
    if _asked:
        raise KeyboardInterrupt


def interrupted() -> bool:
    """Whether Ctrl-C was pressed after `keep_interrupts`."""
    return bool(_asked)


def _remember(number: int, frame: FrameType | None) -> None:
    _asked.append(number)
    raise KeyboardInterrupt
