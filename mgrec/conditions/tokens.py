"""The words of a condition, each with the place where it stands."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from mgrec.data.tables import short
from mgrec.errors import RequestError

LONGEST = 4096  # characters of a condition
KEYWORDS = ("and", "or", "not", "in", "contains", "is", "null", "true", "false")

Kind = Literal["name", "keyword", "text", "number", "sign", "end"]

# No alternative of a repeat begins as another does: matching takes one pass, whatever stands there.
_TOKEN = re.compile(
    r"""\s*(?:
        (?P<number>[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
      | (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | `(?P<name>[^`]+)`
      | (?P<word>[^\W\d]\w*)
      | (?P<sign>[=!<>]=|[=<>()\[\],])
      | (?P<end>\Z)
    )""",
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True)
class Token:
    """One word of a condition.

    Attributes
    ----------
    value : a column's name, a keyword in small letters, a sign, or the literal that it stands for
    place : of its first character, from 1
    shown : as it was written
    """

    kind: Kind
    value: str | int | float
    place: int
    shown: str

    def __str__(self) -> str:
        return "the end" if self.kind == "end" else short(self.shown)


def tokens(text: str) -> list[Token]:
    """Take a condition apart; the last token is the end.

    Raises
    ------
    RequestError
        If it is too long, or something in it is no word of the language.
    """
    if not isinstance(text, str):
        raise RequestError(f"where: expected a condition as text, found {short(text)}")
    if len(text) > LONGEST:
        raise RequestError(f"where: found {len(text):,} characters, expected at most {LONGEST:,}")
    found: list[Token] = []
    at = 0
    while not found or found[-1].kind != "end":
        match = _TOKEN.match(text, at)
        if match is None:
            at += len(text[at:]) - len(text[at:].lstrip())
            raise _unreadable(text, at)
        found.append(_token(match))
        at = match.end()
    return found


def _token(match: re.Match[str]) -> Token:
    group = str(match.lastgroup)
    shown = match[group]
    place = match.start(group) + 1
    if group == "number":
        whole = shown.lstrip("+-").isdigit()
        return Token("number", int(shown) if whole else float(shown), place, shown)
    if group == "text":
        plain = re.sub(r"\\(.)", r"\1", shown[1:-1], flags=re.DOTALL)
        if any("\ud800" <= character <= "\udfff" for character in plain):
            raise _refused(place, f"found {short(shown)}", "text that can be written as UTF-8")
        return Token("text", plain, place, shown)
    if group == "word" and shown.lower() in KEYWORDS:
        return Token("keyword", shown.lower(), place, shown)
    if group == "sign":
        return Token("sign", "==" if shown == "=" else shown, place, shown)
    return Token("end" if group == "end" else "name", shown, place, shown)


def refuse(token: Token, expected: str) -> RequestError:
    """Return the error that points at a token."""
    return _refused(token.place, f"found {token}", expected)


def _unreadable(text: str, at: int) -> RequestError:
    found = f"found {short(text[at : at + 20])}"
    if text[at] in "\"'`":
        return _refused(at + 1, found, f"a closing {text[at]} somewhere behind it")
    return _refused(at + 1, found, "a column, a value, a comparison or a bracket")


def _refused(place: int, found: str, expected: str) -> RequestError:
    return RequestError(f"where, character {place}: {found}, expected {expected}")
