"""The gate: whether a running server accepts a new artifact in its folder."""

from __future__ import annotations

import math
from typing import Any

from mgrec.recommender import Recommender

KNOWN = 0.5  # minimum share of the items in service that a new artifact must know
METRIC = "NDCG@10"
HINT = "restart the server, or run it with --accept, to serve it"


def objection(serving: Recommender, new: Recommender) -> str | None:
    """Return why a new artifact must not replace the one in service; None if it may.

    It may if its item ids have the same type, its modalities are the same, it knows at least half
    of the items in service, it answers, and its NDCG@10 on the test cases is not clearly worse:
    the upper end of its 95% interval is not below the lower end of the current one.

    Raises
    ------
    Exception
        Of any kind, if the new artifact cannot answer.
    """
    new.recommend(history=new.catalogue.items["item_id"].head(1).to_list(), k=1)
    found = _misfit(serving, new) or _worse(serving, new)
    return f"{found}; {HINT}" if found else None


def _misfit(serving: Recommender, new: Recommender) -> str | None:
    old_items, new_items = serving.catalogue.items["item_id"], new.catalogue.items["item_id"]
    if old_items.dtype != new_items.dtype:
        return f"found item ids of type {new_items.dtype}, expected {old_items.dtype}"
    old, found = (sorted(made.recipe.ids.modalities) for made in (serving, new))
    if old != found:
        return f"found the modalities {', '.join(found)}, expected {', '.join(old)}"
    wanted = old_items.filter(serving.catalogue.listed)
    known = int(wanted.is_in(new_items.filter(new.catalogue.listed).to_list()).sum())
    if known < KNOWN * len(wanted):
        return (
            f"found {known:,} of the {len(wanted):,} items in service, expected at least"
            f" {KNOWN:.0%}"
        )
    return None


def _worse(serving: Recommender, new: Recommender) -> str | None:
    old, found = _measured(serving), _measured(new)
    if old is None:
        return None
    if found is None:
        return f"found no measured {METRIC}, expected one: the artifact in service has {_text(old)}"
    if found["high"] < old["low"]:
        return f"{METRIC} is clearly worse: found {_text(found)}, in service {_text(old)}"
    return None


def _measured(made: Recommender) -> dict[str, float] | None:
    """Return a metric's value and interval; None if it was not measured."""
    test: Any = made.facts.get("test", {})
    metric = test.get("metrics", {}).get(METRIC) if isinstance(test, dict) else None
    if not isinstance(metric, dict):
        return None
    values = {name: metric.get(name) for name in ("value", "low", "high")}
    numbers = {
        name: float(value)
        for name, value in values.items()
        if isinstance(value, int | float) and math.isfinite(value)
    }
    return numbers if len(numbers) == len(values) else None


def _text(metric: dict[str, float]) -> str:
    return f"{metric['value']:.4f} [{metric['low']:.4f}, {metric['high']:.4f}]"
