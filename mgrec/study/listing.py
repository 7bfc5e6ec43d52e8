"""Recommended items as lines for a terminal: rank, score, id, title, semantic ID."""

from __future__ import annotations

from mgrec.answers import Recommendations
from mgrec.recommender import Recommender
from mgrec.titles import titles


def listing(recommender: Recommender, found: Recommendations) -> str:
    """Write an answer for a person, with how it was found underneath."""
    catalogue = recommender.catalogue
    rows = catalogue.index_of(found.item_ids).tolist()
    names = titles(catalogue.items, rows)
    width = max((len(str(item.item_id)) for item in found), default=0)
    lines = [
        f"{rank:>3}  {item.score:8.3f}  {item.item_id!s:<{width}}  {name}".rstrip()
        for rank, (item, name) in enumerate(zip(found, names, strict=True), 1)
    ]
    return "\n".join([*lines, f"({found.reason})"])
