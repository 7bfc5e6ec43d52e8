"""Messages and progress bars of long work: silent in a library, shown by the command line.

Messages go to the logger ``mgrec``: ``warning: ...`` at level WARNING, ``error: ...`` at level
ERROR, all others at level INFO. `show_progress` prints them, and bars, on the error stream.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from mgrec.interrupts import raise_if_interrupted
from mgrec.printable import printable

console = Console(stderr=True, highlight=False)


LOGGER = logging.getLogger("mgrec")
LOGGER.addHandler(logging.NullHandler())
_LEVELS = {"warning: ": logging.WARNING, "error: ": logging.ERROR}


def say(message: str) -> None:
    """Log one line about the run."""
    level = next((level for word, level in _LEVELS.items() if message.startswith(word)), None)
    LOGGER.log(logging.INFO if level is None else level, "%s", message)


class _Printer(logging.Handler):
    """Prints messages between the bars, never into the output."""

    def emit(self, record: logging.LogRecord) -> None:
        console.print(printable(record.getMessage()), markup=False, soft_wrap=True)


_printer = _Printer(logging.INFO)


def show_progress(yes: bool = True) -> None:
    """Print messages and progress bars on the error stream, as the command line does, or stop it.

    Without it mgrec logs to the logger ``mgrec`` and prints nothing.
    """
    if not yes:
        LOGGER.removeHandler(_printer)
        LOGGER.setLevel(logging.NOTSET)
    elif not shown():
        LOGGER.addHandler(_printer)
        LOGGER.setLevel(logging.INFO)


def shown() -> bool:
    """Whether messages and bars are printed."""
    return _printer in LOGGER.handlers


@contextmanager
def showing() -> Iterator[None]:
    """Show progress within the block."""
    before = shown()
    show_progress()
    try:
        yield
    finally:
        show_progress(before)


class _Rate(ProgressColumn):
    """How many a second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        unit = task.fields["unit"]
        return Text("" if speed is None else _rate(speed, unit), style="cyan")


def _bars() -> bool:
    return shown() and console.is_terminal


def _rate(speed: float, unit: str) -> str:
    """Say how fast, also of what takes longer than a second each."""
    return f"{speed:,.0f} {unit}/s" if speed >= 1 else f"{1 / max(speed, 1e-9):,.0f} s each"


class Bar:
    """One running bar; ``advance`` moves it, ``note`` writes beside it."""

    def __init__(self, label: str, total: int, unit: str) -> None:
        self._columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _Rate(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        self._progress = Progress(*self._columns, console=console, transient=True)
        self._task = self._progress.add_task(label, total=total, unit=unit, note="")
        self._label, self._unit, self._total = label, unit, total
        self._begun = time.monotonic()
        self._shown = False
        self.done = 0

    def advance(self, n: int = 1) -> None:
        raise_if_interrupted()
        self.done += n
        self._progress.advance(self._task, n)
        # Short work stays silent: a bar that flashes by tells nobody anything.
        if not self._shown and _bars() and time.monotonic() - self._begun > 2:
            self._shown = True
            self._progress.start()

    def note(self, text: str) -> None:
        self._progress.update(self._task, note=text)

    def close(self) -> None:
        seconds = time.monotonic() - self._begun
        if self._shown:
            self._progress.stop()
        if seconds > 2 and self.done:
            rate = _rate(self.done / seconds, self._unit)
            say(f"{self._label}: {self.done:,} {self._unit} in {seconds:.1f} s ({rate})")


@contextmanager
def bar(label: str, total: int, unit: str = "items") -> Iterator[Bar]:
    """Show a bar with a rate once the work has lasted two seconds, and one line when it ends."""
    running = Bar(label, total, unit)
    try:
        yield running
    finally:
        running.close()
