"""Answers as lines for a terminal: recommended items, and why one of them is."""

from __future__ import annotations

from mgrec.answers import Recommendations
from mgrec.explain.explanation import Explanation, called
from mgrec.printable import inline
from mgrec.recommender import Recommender
from mgrec.titles import titles


def listing(recommender: Recommender, found: Recommendations) -> str:
    """Write an answer for a person, with how it was found underneath."""
    catalogue = recommender.catalogue
    rows = catalogue.index_of(found.item_ids).tolist()
    names = titles(catalogue.items, rows)
    ids = [inline(item.item_id) for item in found]
    width = max(map(len, ids), default=0)
    lines = [
        f"{rank:>3}  {item.score:8.3f}  {item_id:<{width}}  {inline(name)}".rstrip()
        for rank, (item, item_id, name) in enumerate(zip(found, ids, names, strict=True), 1)
    ]
    return "\n".join([*lines, f"({found.reason})"])


def account(why: Explanation) -> str:
    """Write an explanation for a person: sentences, then every part of the score."""
    parts = {
        "Past items, oldest first": [(called(p.item_id, p.title), p.moved) for p in why.past],
        "What is known of them": [(part.name, part.moved) for part in why.modalities],
        "Codes": [(level.code, level.moved) for level in why.levels],
        "Experts": [(expert.name, expert.moved) for expert in why.experts],
    }
    lines = why.words()
    for heading, rows in parts.items():
        if rows:
            lines += ["", heading, *(f"  {moved:+7.2f}  {name}" for name, moved in rows)]
    return "\n".join(lines)
