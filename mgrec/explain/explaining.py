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
from mgrec.model.repeat import log_normaliser
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
    window = model.config.history
    read = found.items[-window:]  # what is encoded
    base = log_share * model.weights
    if not len(read):
        return Explanation(item_id, title, found.reason, base, base, base)
    older = np.unique(found.items[:-window]) if model.config.repeat else read[:0]
    levels = _levels(recommender, row, read, older)
    experts = _experts(model, row, read, older, log_share)
    generated = sum(level.log_prob for level in levels)
    score = generated + sum(part.weight * part.log_prob for part in experts)
    past, before = _past(recommender, row, read, older, score, base)
    return Explanation(
        item_id=item_id,
        title=title,
        reason=found.reason,
        score=score,
        base=base,
        generated=generated,
        past=past,
        older=before,
        modalities=_modalities(recommender, row, read, older, score, base),
        levels=levels,
        experts=experts,
    )


def _levels(
    recommender: Recommender, row: int, read: NDArray[np.int64], older: NDArray[np.int64]
) -> tuple[Level, ...]:
    model = recommender.model
    log_share = float(recommender.popularity.logs[row])
    new = model.shares
    if new is not None and new.by_content is not None and bool(new.items[row]):
        with torch.inference_mode():  # not generated code by code
            context = model.context(torch.from_numpy(read)[None])
            log_prob = float(model.log_prob(context, torch.tensor([row])))
        codes: tuple[Level, ...] = (Level(BY_CONTENT, "", log_prob, log_share),)
    else:
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
        context = model.context(torch.from_numpy(np.concatenate([older, read]))[None])
        moved = float(moved_by_repeat(model, context, torch.tensor([row])))
    what = "taken before" if row in read or row in older else "not taken before"
    return (*codes, Level(what, "repeat", moved, 0.0))


def _experts(
    model: Generator,
    row: int,
    read: NDArray[np.int64],
    older: NDArray[np.int64],
    log_share: float,
) -> tuple[Expert, ...]:
    if model.experts is None:
        return ()
    found = scored(model, row, Sequences.of([read]), older=older[None])
    log_probs = found.experts[0].tolist()
    parts = zip(model.experts.names, model.experts.weight.tolist(), log_probs, strict=True)
    return tuple(Expert(*part, base=log_share) for part in parts)


def _past(
    recommender: Recommender,
    row: int,
    read: NDArray[np.int64],
    older: NDArray[np.int64],
    score: float,
    base: float,
) -> tuple[tuple[Past, ...], float]:
    """Attribute the change of the score by the history to its items; without items it is the base.

    Older items, which only the repeat score sees, have one share for all of them.
    """
    model, items, n = recommender.model, recommender.catalogue.items, len(read)

    def worth(groups: NDArray[np.bool_]) -> NDArray[np.float64]:
        with_older = groups[:, n] if len(older) else np.zeros(len(groups), bool)
        found = np.where(groups.all(1), score, base)
        some = groups[:, :n].any(1) & ~groups.all(1)
        if some.any():
            histories = Sequences.of([read[group[:n]] for group in groups[some]])
            seen = np.where(with_older[some, None], older, -1)
            found[some] = scored(model, row, histories, older=seen).total
        alone = with_older & ~groups[:, :n].any(1)
        if alone.any():
            found[alone] = base + popularity_moved(recommender, row, older)
        return found

    players = n + (len(older) > 0)
    moved = shares(players, worth)
    without = worth(~np.eye(players, dtype=bool))[:n]
    parts = zip(
        [recommender.catalogue.item_ids[other] for other in read],
        titles(items, read.tolist(), WIDTH),
        moved[:n].tolist(),
        (score - without).tolist(),
        strict=True,
    )
    return tuple(Past(*part) for part in parts), float(moved[n:].sum())


def popularity_moved(recommender: Recommender, row: int, seen: NDArray[np.int64]) -> float:
    """Return what the repeat scores add to an item's score by popularity."""
    model = recommender.model
    share = torch.from_numpy(np.exp(recommender.popularity.logs[seen])).sum()
    weights, repeats = torch.ones(1), model.repeat[None]
    if model.experts is not None:
        weights = torch.cat([weights, model.experts.weight])
        repeats = torch.cat([repeats, model.experts.repeat])
    each = repeats * bool(row in seen) - log_normaliser(share, repeats)
    return float(weights @ each)


def _modalities(
    recommender: Recommender,
    row: int,
    read: NDArray[np.int64],
    older: NDArray[np.int64],
    score: float,
    base: float,
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
    histories, seen = Sequences.of([read] * DRAWS), np.tile(older, (DRAWS, 1))

    def worth(groups: NDArray[np.bool_]) -> NDArray[np.float64]:
        hidden = [[n for n, seen in zip(names, group, strict=True) if not seen] for group in groups]
        found = [scored(model, row, histories, h, instead, seen).total.mean() for h in hidden]
        return np.array(found)

    moved = shares(len(names), worth)
    rest = float(score - base - moved.sum())
    parts = zip(names, moved.tolist(), strict=True)
    return (*(Modality(*part) for part in parts), Modality(REST, rest))
