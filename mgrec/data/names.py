"""Guesses from the name of a column: ids of items, ids of users, or times."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

Role = Literal["item", "user", "id"]


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


# Words that always mean an id, and words that mean one next to a word for items or users.
_IDS = _set("id ids uid uuid guid sku asin isbn ean upc gtin mbid")
_NUMBERS = _set("key code no nr num number ref uri url slug handle pk index hash")
_ITEMS = _set(
    "item product article movie film book track song video game offer listing recipe content"
    " document doc news post course place poi business venue restaurant hotel show series episode"
    " anime app goods merchandise sku asin isbn ean upc gtin"
)
_USERS = _set(
    "user customer client member visitor reader reviewer buyer shopper person account profile"
    " subscriber viewer listener player student guest uid"
)
# Other things that have ids in a log.
_OTHERS = _set(
    "order transaction event row line invoice request session basket cart receipt store shop"
    " category brand seller vendor merchant supplier campaign device city country region zip postal"
    " department group type status payment coupon message log record entry rating review parent"
    " query page position"
)
_NOUNS = _ITEMS | _USERS | _OTHERS
_MOMENTS = _set(
    "time date datum day week month datetime timestamp timestamps ts when moment at created updated"
    " added modified"
)
# With "time", a duration.
_SPANS = _set(
    "watch play dwell spent duration run cook wait delivery listening reading viewing total"
)


def role(name: str) -> Role | None:
    """Return whose ids a column holds by its name; "id" if the name does not tell."""
    words = set(_words(name))
    plain = words - _IDS - _NUMBERS
    if words & _OTHERS:
        return None
    if words & _USERS and plain <= _USERS:
        return "user"
    if words & _ITEMS and plain <= _ITEMS:
        return "item"
    numbered = (words & _IDS and len(plain) <= 1) or (words and not plain)
    return "id" if numbered else None


def generic(name: str) -> bool:
    """Whether a name such as ``id`` or ``no`` could be the row number of any table."""
    words = set(_words(name))
    return bool(words) and words <= (_IDS | _NUMBERS) - _ITEMS - _USERS


def ids_among(names: Iterable[str], wanted: Literal["item", "user"]) -> list[str]:
    """Return the names that may be the ids of items or users, the likeliest first."""
    roles = [(name, role(name)) for name in names]
    of_role = [name for name, found in roles if found == wanted]
    others = [name for name, found in roles if found == "id" and wanted == "item"]
    return [*of_role, *sorted(others, key=generic)]


def moment(name: str) -> bool:
    """Whether a column holds times by its name."""
    words = set(_words(name))
    return bool(words & _MOMENTS) and not words & _SPANS


def _words(name: str) -> list[str]:
    """Return the words of a name; ``movieId``, ``movie_id`` and ``movieid`` have the same."""
    found = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name) or re.findall(r"[^\W\d_]+", name)
    words = []
    for word in map(str.lower, found):
        stem = word.removesuffix("id")
        glued = stem != word and stem in _NOUNS
        singular = word.removesuffix("s")
        words += [stem, "id"] if glued else [singular if singular in _NOUNS else word]
    return words
