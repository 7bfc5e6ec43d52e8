"""Explaining: the parts of one item's score after one history."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from mgrec.data.sequences import Sequences
from mgrec.errors import RequestError
from mgrec.explain.explanation import REST, Expert, Explanation, Level, Modality, Past
from mgrec.explain.scoring import bases_of, levels_of, modalities_of, scored
from mgrec.explain.shapley import shares
from mgrec.given import given
from mgrec.model.generator import Generator
from mgrec.requests import ItemId, checked_id
from mgrec.search.repeats import moved_by_repeat
from mgrec.titles import titles

if TYPE_CHECKING:
    from mgrec.recommender import Recommender

WIDTH = 40  # characters of a title
BY_CONTENT = "its content, as training never saw it"
DRAWS = 16  # of the content that stands in for what is hidden


def explain(
    recommender: Recommender,
    item: ItemId,
    history: Iterable[ItemId] | None,
    user: ItemId | None,
) -> Explanation:
    """Explain an item's score, whether it was recommended or not.

    Raises
    ------
    RequestError
        If the catalogue does not know the item.
    """
    item = checked_id("explain", item)
    catalogue, model = recommender.catalogue, recommender.model
    row = int(catalogue.index_of([item])[0])
    if row < 0:
        raise RequestError(f"explain: item {item!r} is not in the catalogue")
    found = given(catalogue, recommender.users, history, user)
    log_share = float(recommender.popularity.logs[row])
    item_id, [title] = catalogue.item_ids[row], titles(catalogue.items, [row], WIDTH)
    read = found.items[-model.config.history :]  # all that the model reads of it
    if not len(read):
        return Explanation(item_id, title, found.reason, log_share, log_share, log_share)
    levels = _levels(recommender, row, read)
    experts = _experts(model, row, read, log_share)
    generated = sum(level.log_prob for level in levels)
    score = generated + sum(part.weight * part.log_prob for part in experts)
    base = log_share * (1 + sum(part.weight for part in experts))
    return Explanation(
        item_id=item_id,
        title=title,
        reason=found.reason,
        score=score,
        base=base,
        generated=generated,
        past=_past(recommender, row, read, score, base),
        modalities=_modalities(recommender, row, read, score, base),
        levels=levels,
        experts=experts,
    )


def _levels(recommender: Recommender, row: int, read: NDArray[np.int64]) -> tuple[Level, ...]:
    model = recommender.model
    new = model.shares
    if (
        new is not None and new.by_content is not None and bool(new.items[row])
    ):  # it is not generated code by code
        log_prob = float(scored(model, row, Sequences.of([read])).generated[0])
        return (Level(BY_CONTENT, "", log_prob, float(recommender.popularity.logs[row])),)
    slots = model.ids.target_slots
    tokens = model.ids.tokens[row, list(model.ids.target)].tolist()
    found = levels_of(model, row, read), bases_of(model, row, recommender.popularity.logs)
    codes = tuple(
        Level(slot.text(token), slot.modality, log_prob, base)
        for slot, token, log_prob, base in zip(slots, tokens, *found, strict=True)
    )
    if not model.config.repeat:
        return codes
    with torch.inference_mode():
        context = model.context(torch.from_numpy(read)[None])
        moved = float(moved_by_repeat(model, context, torch.tensor([row])))
    what = "taken before" if row in read else "not taken before"
    return (*codes, Level(what, "repeat", moved, 0.0))


def _experts(
    model: Generator, row: int, read: NDArray[np.int64], log_share: float
) -> tuple[Expert, ...]:
    if model.experts is None:
        return ()
    log_probs = scored(model, row, Sequences.of([read])).experts[0].tolist()
    found = zip(model.experts.names, model.experts.weight.tolist(), log_probs, strict=True)
    return tuple(Expert(*part, base=log_share) for part in found)


def _past(
    recommender: Recommender, row: int, read: NDArray[np.int64], score: float, base: float
) -> tuple[Past, ...]:
    """Share out what the history moved among its items; without any of them there is the base."""
    model, items = recommender.model, recommender.catalogue.items

    def worth(groups: NDArray[np.bool_]) -> NDArray[np.float64]:
        some = groups.any(1) & ~groups.all(1)
        found = np.where(groups.all(1), score, base)
        if some.any():
            found[some] = scored(model, row, Sequences.of([read[g] for g in groups[some]])).total
        return found

    moved = shares(len(read), worth)
    without = worth(~np.eye(len(read), dtype=bool))
    parts = zip(
        [recommender.catalogue.item_ids[other] for other in read],
        titles(items, read.tolist(), WIDTH),
        moved.tolist(),
        (score - without).tolist(),
        strict=True,
    )
    return tuple(Past(*part) for part in parts)


def _modalities(
    recommender: Recommender, row: int, read: NDArray[np.int64], score: float, base: float
) -> tuple[Modality, ...]:
    """Share out what the history moved among its items' modalities, by hiding them.

    What stands instead is the content of items drawn from the log, several times over, so that
    the model reads nothing that it was not trained on.
    """
    model = recommender.model
    names = modalities_of(model)
    odds = np.exp(recommender.popularity.logs.astype(np.float64))
    rng = np.random.default_rng(0)
    instead = rng.choice(len(odds), (DRAWS, len(read)), p=odds / odds.sum())
    histories = Sequences.of([read] * DRAWS)

    def worth(groups: NDArray[np.bool_]) -> NDArray[np.float64]:
        hidden = [[n for n, seen in zip(names, group, strict=True) if not seen] for group in groups]
        return np.array([scored(model, row, histories, h, instead).total.mean() for h in hidden])

    moved = shares(len(names), worth)
    rest = float(score - base - moved.sum())
    parts = zip(names, moved.tolist(), strict=True)
    return (*(Modality(*part) for part in parts), Modality(REST, rest))
