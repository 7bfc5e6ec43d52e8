"""A diagnosis to look at: the company that an item's codes put it in, and maps of codebooks."""

from __future__ import annotations

import math

import numpy as np

from mgrec.study.codemap import CodeMap
from mgrec.study.diagnostics import Diagnosis
from mgrec.study.parts import Dot, Item, Map, Section, Sheet, Strip
from mgrec.study.wording import agreement
from mgrec.titles import description, titles

TOLD = 6  # attributes listed


def pivots_company(found: Diagnosis) -> Section | None:
    one = found.company
    if one is None:
        return None
    pivot = item_of(found, one.pivot)
    strips = [Strip("The item", (pivot,))]
    for block, others in one.shown.items():
        count = one.count[block]
        more = f", the {len(others)} most taken of {count:,}" if count > len(others) else ""
        items = tuple(item_of(found, other) for other in others)
        title = f"Items with the same first {block} code ({one.code[block]}){more}"
        strips.append(Strip(title, items, "" if items else "There is no other."))
    counts = " and ".join(f"{n:,} share its first {block} code" for block, n in one.count.items())
    seen = f"Of the other items, {counts}"
    if len(one.count) > 1:
        seen += f"; {one.in_all:,} share {'both' if len(one.count) == 2 else 'all'}"
    return Section(
        "What each modality's codes hold",
        "Items with the same first code should be alike. In what they are alike depends on the"
        " modality that the code was made from: look at one item and its company in each.",
        strips=tuple(strips),
        seen=f"{seen}.",
    )


def _telling(found: Diagnosis) -> Sheet:
    blocks = list(next(iter(found.telling.values())))
    rows = tuple(
        (name, *(agreement(by[block]) for block in blocks))
        for name, by in list(found.telling.items())[:TOLD]
    )
    return Sheet(
        "What first codes tell of the catalogue's columns",
        ("", *blocks),
        rows,
        "Agreement of first codes with columns of few different words: 1, the code says which; 0,"
        " it says no more than chance.",
    )


def item_of(found: Diagnosis, item: int) -> Item:
    """Return an item as a person sees it."""
    items = found.items
    name = str(items["item_id"][item])
    picture = items["image"][item] if "image" in items.columns and found.root else None
    path = found.root / picture if picture is not None and found.root is not None else None
    title = titles(items, [item], 60)[0] or name
    text = description(items, item)
    return Item(name, title, "" if text == title else text, picture=path)


def maps(found: Diagnosis) -> Section | None:
    if not found.maps:
        return None
    return Section(
        "A map of the first codes",
        "How are the codes spread: evenly, or a few for most items; and do codes of like items lie"
        " side by side?",
        sheets=(_telling(found),) if found.telling else (),
        maps=tuple(_drawn(one) for one in found.maps),
        seen=" ".join(map(_spread, found.maps)),
    )


def _drawn(one: CodeMap) -> Map:
    dots = tuple(
        Dot(
            float(one.place[n, 0]),
            float(one.place[n, 1]),
            float(one.items[n]),
            None if one.group[n] < 0 else int(one.group[n]),
            _label(one, n),
        )
        for n in range(len(one.code))
    )
    rest = "others, or unknown" if (one.group < 0).any() else ""
    return Map(
        f"{one.block}, coloured by {one.by}",
        dots,
        one.groups,
        one.ordered,
        rest,
        "A dot is a first code, its area the number of items with it, its place the mean of their"
        f" vectors, on the plane that keeps most of the spread ({one.explained:.0%} of it)."
        + (
            " The colour is how often they are taken."
            if one.ordered
            else " The colour is the kind that most of them are of."
        ),
    )


def _label(one: CodeMap, n: int) -> str:
    words = f"code {one.code[n]}: {one.items[n]:,} items"
    if one.group[n] < 0:
        return words
    share = "" if math.isnan(one.share[n]) else f" {one.share[n]:.0%}"
    return f"{words},{share} {one.groups[one.group[n]]}"


def _spread(one: CodeMap) -> str:
    half = np.cumsum(np.sort(one.items)[::-1]) >= one.items.sum() / 2
    few = int(np.argmax(half)) + 1
    words = f"{one.block}: {len(one.code)} codes in use, half of the items have {few} of them"
    if not one.ordered:
        known = one.group >= 0
        share = float((one.share * one.items)[known].sum() / max(one.items[known].sum(), 1))
        words += f", and {share:.0%} of a named code's items are of its colour"
    return words + "."
