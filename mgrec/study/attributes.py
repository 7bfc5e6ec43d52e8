"""Columns of a catalogue that sort its items into a few named kinds, to read codes by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mgrec.data.features import Codes
from mgrec.errors import RequestError, nearest
from mgrec.measure.information import adjusted_mutual_information

MOST = 50  # kinds in a column; more name items instead of sorting them
PLACES = 3  # entries of a list, such as categories from the widest on, each a column of its own
_WORDS = ("text", "image", "title", "name", "description")


@dataclass(frozen=True, eq=False)
class Attribute:
    """One column.

    Attributes
    ----------
    name : of the column, and the place in a list: ``categories, entry 2``
    kinds : its values, most frequent first
    kind : int64 [items], -1 where an item has none
    """

    name: str
    kinds: tuple[str, ...]
    kind: NDArray[np.int64]


def attributes(items: pl.DataFrame) -> tuple[Attribute, ...]:
    """Return all columns of words with 2 to 50 different values that most items have."""
    found = []
    for column, kind in items.schema.items():
        if column == "item_id" or column in _WORDS:
            continue
        if kind in (pl.String, pl.Categorical):
            found.append(_attribute(column, items[column].cast(pl.String)))
        elif kind == pl.List(pl.String):
            for place in range(PLACES):
                entry = items[column].list.get(place, null_on_oob=True)
                found.append(_attribute(f"{column}, entry {place + 1}", entry))
    few = (a for a in found if 2 <= len(a.kinds) <= MOST)
    return tuple(a for a in few if (a.kind >= 0).mean() >= 0.5)


def chosen(items: pl.DataFrame, name: str) -> Attribute:
    """Return the attribute of a name, as `attributes` names it.

    Raises
    ------
    RequestError
        If there is none.
    """
    known = {attribute.name: attribute for attribute in attributes(items)}
    if name not in known:
        listed = ", ".join(known) or "none"
        raise RequestError(
            f"attribute '{name}': no column of 2 to {MOST} different words that most items have."
            f"{nearest(name, list(known))} Found: {listed}"
        )
    return known[name]


def agreement(attribute: Attribute, codes: Codes) -> float:
    """Return how far first codes agree with an attribute, over the items that have both."""
    rows = codes.present & (attribute.kind >= 0)
    if not rows.any():
        return 0.0
    return adjusted_mutual_information(attribute.kind[rows], codes.codes[rows, 0])


def telling(
    found: tuple[Attribute, ...], codes: Mapping[str, Codes]
) -> dict[str, dict[str, float]]:
    """Return attribute -> block -> agreement with its first codes, the most telling first."""
    figures = {a.name: {block: agreement(a, c) for block, c in codes.items()} for a in found}
    return dict(sorted(figures.items(), key=lambda pair: -max(pair[1].values(), default=0)))


def _attribute(name: str, values: pl.Series) -> Attribute:
    """Number a column's values, the most frequent first; blanks are no value."""
    words = values.str.strip_chars().replace("", None).alias("word")
    counts = words.drop_nulls().value_counts(sort=True)
    kinds = counts.sort(["count", "word"], descending=[True, False])["word"].to_list()
    if len(kinds) > MOST:
        return Attribute(name, tuple(kinds), np.empty(0, np.int64))
    place = {kind: n for n, kind in enumerate(kinds)}
    kind = np.array([place.get(word, -1) for word in words.to_list()], np.int64)
    return Attribute(name, tuple(kinds), kind)
