"""A request: what one asks of a recommender."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from mgrec.data.keys import plain
from mgrec.data.tables import short
from mgrec.errors import RequestError

ItemId = int | str


@dataclass(frozen=True)
class Request:
    """A request for recommendations; several may be answered together (`recommend_many`).

    Ids are whole numbers or text, in any type that holds one (docs/requests.md).

    Attributes
    ----------
    history : item ids, oldest first; ids that the catalogue does not know are passed over
    user : instead of a history, a user of the log
    k : how many, at least 1; fewer come back only where fewer are allowed
    only : the items allowed; None allows all
    exclude : items not allowed
    exclude_seen : leave out what is in the history
    where : a condition on the items' attributes (docs/requests.md); None allows all
    max_per : for each named attribute, how many answers may share a value of it
    beams : prefixes that the search keeps, None takes the recipe's; with a filter it is widened
        until no allowed item can be better than the answer

    Raises
    ------
    RequestError
        If a field has a value of another type, k, beams or a number of `max_per` is below 1, or
        there is not exactly one of history and user.
    """

    history: Iterable[ItemId] | None = None
    user: ItemId | None = None
    k: int = 10
    only: Iterable[ItemId] | None = None
    exclude: Iterable[ItemId] = ()
    exclude_seen: bool = False
    where: str | None = None
    max_per: Mapping[str, int] = field(default_factory=dict)
    beams: int | None = None

    def __post_init__(self) -> None:
        if (self.history is None) == (self.user is None):
            raise RequestError("recommend: expected either a history or a user, and not both")
        checked = {
            "history": None if self.history is None else _history(self.history),
            "user": None if self.user is None else checked_id("user", self.user),
            "k": check_number("k", self.k),
            "only": None if self.only is None else checked_ids("only", self.only),
            "exclude": () if self.exclude is None else checked_ids("exclude", self.exclude),
            "exclude_seen": _truth("exclude_seen", self.exclude_seen),
            "where": check_text("where", self.where),
            "max_per": _limits({} if self.max_per is None else self.max_per),
            "beams": None if self.beams is None else check_number("beams", self.beams),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    @property
    def filters(self) -> bool:
        """Whether it is not a plain request, which is searched as all users together are."""
        named = self.only is not None or bool(self.exclude) or self.exclude_seen
        return named or self.where is not None or bool(self.max_per)


def check_number(name: str, number: object) -> int:
    """Return a whole number of at least 1 as an `int`; refuse anything else."""
    try:
        found = None if isinstance(number, bool) else operator.index(number)  # type: ignore[arg-type]
    except TypeError:
        found = None
    if found is None:
        raise RequestError(f"{name}: expected a whole number, found {short(number)}")
    if found < 1:
        raise RequestError(f"{name}: expected at least 1, found {short(found)}")
    return found


def check_text(name: str, text: str | None) -> str | None:
    """Return a text or None; refuse anything else."""
    if text is not None and not isinstance(text, str):
        raise RequestError(f"{name}: expected text, found {short(text)}")
    return text


def checked_id(name: str, value: object) -> ItemId:
    """Return an id as a whole number or text; refuse a value that cannot be an id."""
    found = plain(value)
    if found is None:
        raise RequestError(f"{name}: expected an id, found {short(value)}")
    return found


def checked_ids(name: str, ids: object) -> tuple[ItemId, ...]:
    """Return the ids of any iterable; refuse anything else."""
    single = isinstance(ids, str | bytes | bytearray | Mapping)
    if single or not isinstance(ids, Iterable) or len(getattr(ids, "shape", (0,))) != 1:
        raise RequestError(f"{name}: expected a list of item ids, found {short(ids)}")
    return tuple(checked_id(f"{name}, place {n}", value) for n, value in enumerate(ids, 1))


def _history(ids: object) -> tuple[ItemId, ...]:
    if isinstance(ids, set | frozenset):
        raise RequestError("history: expected a list of item ids, oldest first, found a set")
    return checked_ids("history", ids)


def _truth(name: str, value: object) -> bool:
    if not isinstance(value, bool | np.bool_):
        raise RequestError(f"{name}: expected True or False, found {short(value)}")
    return bool(value)


def _limits(max_per: object) -> dict[str, int]:
    if not isinstance(max_per, Mapping):
        raise RequestError(
            f"max_per: expected a dict such as {{'brand': 2}}, found {short(max_per)}"
        )
    return {
        _attribute(name): check_number(f"max_per: {name}", most) for name, most in max_per.items()
    }


def _attribute(name: object) -> str:
    if not isinstance(name, str):
        raise RequestError(f"max_per: expected an attribute's name, found {short(name)}")
    return name
