"""What a server refuses: a status, and one line for a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mgrec.errors import MgrecError

LONGEST = 300  # characters of a line


class Refusal(MgrecError):
    """A request that is not answered.

    Attributes
    ----------
    status : of HTTP
    headers : that the answer carries, such as Retry-After
    """

    def __init__(self, status: int, line: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(line)
        self.status = status
        self.headers = dict(headers or {})


def busy(line: str) -> Refusal:
    """Refuse what could be answered later."""
    return Refusal(503, line, {"Retry-After": "1"})


def one_line(text: object) -> str:
    """Return text on one line that is not long, without control characters."""
    start = str(text)[: 10 * LONGEST]  # a body's worth of text would hold up everybody else
    line = " ".join("".join(c if c.isprintable() else " " for c in start).split())
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"


def of_validation(errors: Sequence[Mapping[str, Any]]) -> str:
    """Return the first of pydantic's errors in words: where, what was expected, what was found."""
    first = errors[0]
    place = ".".join(str(part) for part in first["loc"] if part != "body") or "body"
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    found = first.get("input")
    found = found[:LONGEST] if isinstance(found, str) else found
    told = f", found {found!r}" if isinstance(found, str | int | float | bool) else ""
    return one_line(f"{place}: {_lower(first['msg'])}{told}{more}")


def _lower(message: str) -> str:
    message = message.removeprefix("Value error, ")
    return message[:1].lower() + message[1:]
