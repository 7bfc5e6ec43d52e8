"""Notes taken while reading: what was understood, left out and counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class ReadNotes:
    """What reading came to.

    Attributes
    ----------
    read : tuple of str
        What was understood, one sentence each.
    warnings : tuple of str
        What was left out or looks wrong, with counts.
    counts : mapping
        The same numbers for machines; a key is there where it is not zero.
    events : mapping
        Kind of event -> kept rows, where the log has a column ``event``.
    order : str
        The order of each user's interactions, which decides what is held out.
    """

    read: tuple[str, ...]
    warnings: tuple[str, ...]
    counts: Mapping[str, int]
    events: Mapping[str, int]
    order: str = ""


@dataclass
class Notebook:
    """Collects notes while reading goes on."""

    read: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    events: dict[str, int] = field(default_factory=dict)
    order: str = ""

    def say(self, sentence: str) -> None:
        self.read.append(sentence)

    def warn(self, count: str, n: int, sentence: str) -> None:
        """Count something that is worth a warning; nothing is said where there is none."""
        if n:
            self.counts[count] = self.counts.get(count, 0) + n
            self.warnings.append(sentence)

    def close(self) -> ReadNotes:
        return ReadNotes(
            tuple(self.read), tuple(self.warnings), self.counts, self.events, self.order
        )
