"""Masks of conditions: which items of a catalogue hold."""

from __future__ import annotations

from functools import reduce
from operator import and_, or_

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mgrec.conditions.columns import holds
from mgrec.conditions.grammar import Condition, Join, Not, Test, parse
from mgrec.data.tables import short
from mgrec.errors import RequestError, nearest


def mask(where: str, items: pl.DataFrame) -> NDArray[np.bool_]:
    """Return bool [items]: where a condition holds.

    A missing attribute is unknown, as in SQL: no comparison with it holds, nor does its opposite;
    ``is null`` asks for it.

    Raises
    ------
    RequestError
        If the condition cannot be read, or does not fit the columns; in one line that points at
        the place.
    """
    found = _holds(parse(where), items)
    return np.array(found.fill_null(False).to_numpy(), bool)


def column_of(name: str, items: pl.DataFrame, place: str) -> pl.Series:
    """Return an attribute by its name; `place` says where it was named.

    Raises
    ------
    RequestError
        If there is none, with the nearest that there is.
    """
    if name in items.columns:
        return items[name]
    hint = nearest(name[:64], items.columns)
    known = "" if hint else f" Expected one of {short(', '.join(items.columns), 200)}."
    raise RequestError(f"{place}: unknown attribute {short(name)}.{hint or known}")


def _holds(condition: Condition, items: pl.DataFrame) -> pl.Series:
    """Return Boolean [items], null where a condition is unknown; its depth is limited."""
    if isinstance(condition, Test):
        token = condition.column
        return holds(condition, column_of(str(token.value), items, _at(token.place)))
    if isinstance(condition, Not):
        return ~_holds(condition.part, items)
    join: Join = condition
    return reduce(and_ if join.every else or_, (_holds(part, items) for part in join.parts))


def _at(place: int) -> str:
    return f"where, character {place}"
