"""Cards: an item as the page shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlencode

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mgrec.ids.semantic_ids import Slot
from mgrec.printable import inline
from mgrec.serving.edition import Edition
from mgrec.serving.gallery import has_picture
from mgrec.titles import TITLES

FACTS = 2  # attributes shown on a card
WIDEST = 40  # characters of an attribute that is shown
HUES = 6  # of placeholders


@dataclass(frozen=True)
class Card:
    """One item.

    Attributes
    ----------
    item_id : as text, as it stands in addresses
    picture : address of its picture; empty where there is none
    initials, hue : what is drawn instead
    facts : its first short attributes
    blocks : its semantic ID, the codes of each block as people write them
    score : of a recommendation
    """

    item_id: str
    title: str
    picture: str
    initials: str
    hue: int
    facts: tuple[tuple[str, str], ...]
    blocks: tuple[tuple[str, tuple[str, ...]], ...]
    score: float | None = None


def cards(
    edition: Edition,
    rows: Sequence[int],
    pictures: Sequence[Path],
    scores: Sequence[float] | None = None,
) -> list[Card]:
    """Return the cards of items, in the order of their rows."""
    known = edition.recommender.catalogue.item_ids
    ids = [str(known[row]) for row in rows]
    names = edition.titles(rows)
    facts = _facts(edition, rows)
    made = []
    for place, row in enumerate(rows):
        name = inline(names[place] or ids[place])
        made.append(
            Card(
                item_id=ids[place],
                title=name,
                picture=picture_url(edition, ids[place])
                if has_picture(edition, row, pictures)
                else "",
                initials="".join(word[0] for word in name.split()[:2]).upper(),
                hue=sum(map(ord, ids[place])) % HUES,
                facts=facts[place],
                blocks=blocks(edition, row),
                score=None if scores is None else scores[place],
            )
        )
    return made


def picture_url(edition: Edition, item: str) -> str:
    """Return where an item's picture is served; the version makes a new one a new address."""
    what = urlencode({"run": edition.run, "v": edition.version})
    return f"/pictures/{quote(item, safe='')}?{what}"


def blocks(edition: Edition, row: int) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return an item's semantic ID for a person: each block's codes, and what is its own."""
    ids = edition.recommender.catalogue.ids
    found: dict[str, list[str]] = {}
    for slot, token in zip(ids.slots, ids.tokens[row].tolist(), strict=True):
        if slot.kind == "transition":
            continue
        block = "own" if slot.kind == "digit" else slot.modality
        found.setdefault(block, []).append(code_text(slot, token - slot.first))
    return tuple((name, tuple(codes)) for name, codes in found.items())


def code_text(slot: Slot, code: int) -> str:
    """Write a code; where the item lacks the modality, that."""
    return "none" if slot.kind == "code" and code == slot.size - 1 else str(code)


def search(edition: Edition, words: str) -> NDArray[np.int64]:
    """Return the rows whose title or id has all of some words; without any, popular items first."""
    made = edition.recommender
    wanted = words.lower().split()
    order = made.popularity.order
    order = order[made.catalogue.listed[order]]
    if not wanted:
        return order
    text = edition.searchable
    keep = np.ones(len(text), bool)
    for word in wanted:
        keep &= text.str.contains(word, literal=True).to_numpy()
    return order[keep[order]]


def _facts(edition: Edition, rows: Sequence[int]) -> list[tuple[tuple[str, str], ...]]:
    """Return each item's first short attributes; its long texts are no facts."""
    names = [
        name
        for name, kind in edition.attributes.items()
        if name not in TITLES
        and not name.endswith("id")
        and kind != pl.Binary
        and (not kind.is_nested() or kind == pl.List(pl.String))
    ]
    if not names:  # a frame without columns has no rows
        return [() for _ in rows]
    frame = edition.recommender.catalogue.items.select(names)[list(rows)]
    found = []
    for row in frame.iter_rows():
        told = [
            (name, _told(value))
            for name, value in zip(names, row, strict=True)
            if value not in (None, "", [])
        ]
        found.append(tuple((n, v) for n, v in told if len(v) <= WIDEST)[:FACTS])
    return found


def _told(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value[:3]))
    return f"{value:g}" if isinstance(value, float) else str(value)
