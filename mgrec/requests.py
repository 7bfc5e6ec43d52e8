"""A request: what one asks of a recommender."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from mgrec.errors import RequestError

ItemId = int | str


@dataclass(frozen=True)
class Request:
    """A request for recommendations; several may be answered together (`recommend_many`).

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
        If k, beams or a number of `max_per` is below 1, or there is not exactly one of history
        and user.
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
        check_number("k", self.k)
        if self.beams is not None:
            check_number("beams", self.beams)
        for name, most in self.max_per.items():
            check_number(f"max_per: {name}", most)
        if (self.history is None) == (self.user is None):
            raise RequestError("recommend: expected either a history or a user, and not both")
        for name in ("history", "only", "exclude"):
            object.__setattr__(self, name, _ids(name, getattr(self, name)))

    @property
    def filters(self) -> bool:
        """Whether it is not a plain request, which is searched as all users together are."""
        named = self.only is not None or bool(self.exclude) or self.exclude_seen
        return named or self.where is not None or bool(self.max_per)


def check_number(name: str, number: object) -> None:
    """Refuse what is not a whole number of at least 1."""
    if not isinstance(number, int) or isinstance(number, bool):
        raise RequestError(f"{name}: expected a whole number, found {number!r}")
    if number < 1:
        raise RequestError(f"{name}: expected at least 1, found {number}")


def _ids(name: str, ids: Iterable[ItemId] | None) -> tuple[ItemId, ...] | None:
    """Keep what may be an iterator, so that a request can be read more than once."""
    if isinstance(ids, str | int):
        raise RequestError(f"{name}: expected a list of item ids, found the text {ids!r}")
    return None if ids is None else tuple(ids)
