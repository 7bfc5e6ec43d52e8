"""What a visitor of the page has chosen, all of it in the address: nothing is kept for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlencode

HISTORY = 50  # items that the page keeps; older ones fall out
LONGEST = 1000  # characters of a field that is read
MANY = (5, 10, 20, 50)  # how many recommendations may be chosen


@dataclass(frozen=True)
class State:
    """One address of the page.

    Attributes
    ----------
    history : item ids, oldest first
    runs : the runs shown; none means all
    where : the filter
    k : recommendations of each run
    seen : whether items of the history may be recommended
    q : what is looked for in the catalogue
    page : of what was found, from 0
    """

    history: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    where: str = ""
    k: int = 10
    seen: bool = False
    q: str = ""
    page: int = 0

    @classmethod
    def of(cls, query: Sequence[tuple[str, str]]) -> State:
        """Read an address; what makes no sense is as if it were not there."""
        values: dict[str, list[str]] = {}
        for name, value in query:
            values.setdefault(name, []).append(value[:LONGEST])
        last = {name: found[-1] for name, found in values.items()}
        history = [item for item in values.get("h", []) if item]
        if drop := last.get("drop", ""):
            history = [item for place, item in enumerate(history) if str(place) != drop]
        if "clear" in last:
            history = []
        history += [item for item in values.get("add", []) if item]
        return cls(
            history=tuple(history[-HISTORY:]),
            runs=tuple(dict.fromkeys(values.get("run", []))),
            where=last.get("where", "").strip(),
            k=_number(last, "k", MANY, 10),
            seen=last.get("seen") == "1",
            q=last.get("q", "").strip(),
            page=_number(last, "page", range(10_000), 0),
        )

    def query(self, **changes: object) -> str:
        """Return the address of this state, or of one that differs in some fields."""
        state = replace(self, **changes)  # type: ignore[arg-type]
        fields: list[tuple[str, str]] = [("h", item) for item in state.history]
        fields += [("run", run) for run in state.runs]
        for name, value in (("where", state.where), ("q", state.q)):
            fields += [(name, value)] if value else []
        fields += [("k", str(state.k))] if state.k != 10 else []
        fields += [("seen", "1")] if state.seen else []
        fields += [("page", str(state.page))] if state.page else []
        return urlencode(fields)


def _number(
    values: Mapping[str, str], name: str, allowed: Sequence[int] | range, otherwise: int
) -> int:
    text = values.get(name, "")
    found = int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else otherwise
    return found if found in allowed else otherwise
