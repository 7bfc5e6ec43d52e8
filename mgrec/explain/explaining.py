"""Explaining: the parts of one item's score after one history."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mgrec.data.sequences import Sequences
from mgrec.errors import RequestError
from mgrec.explain.explanation import REST, Expert, Explanation, Level, Modality, Past
from mgrec.explain.scoring import Score, bases_of, levels_of, modalities_of, scored
from mgrec.explain.shapley import shares
from mgrec.given import given
from mgrec.requests import ItemId
from mgrec.titles import titles

if TYPE_CHECKING:
    from mgrec.recommender import Recommender

WIDTH = 40  # characters of a title
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
    catalogue, model = recommender.catalogue, recommender.model
    row = int(catalogue.index_of([item])[0])
    if row < 0:
        raise RequestError(f"explain: item {item!r} is not in the catalogue")
    found = given(catalogue, recommender.users, history, user)
    log_share = float(recommender.popularity.logs[row])
    item_id, [title] = catalogue.items["item_id"][row], titles(catalogue.items, [row], WIDTH)
    read = found.items[-model.config.history :]  # all that the model reads of it
    if not len(read):
        return Explanation(item_id, title, found.reason, log_share, log_share, log_share)
    whole = scored(model, row, Sequences.of([read]))
    weights = [] if model.experts is None else model.experts.weight.tolist()
    base = log_share * (1 + sum(weights))
    slots = model.ids.target_slots
    codes = [
        slot.text(int(token))
        for slot, token in zip(slots, model.ids.tokens[row, list(model.ids.target)], strict=True)
    ]
    levels = zip(
        codes,
        [slot.modality for slot in slots],
        levels_of(model, row, read),
        bases_of(model, row, recommender.popularity.logs),
        strict=True,
    )
    names = () if model.experts is None else model.experts.names
    experts = zip(names, weights, whole.experts[0].tolist(), strict=True)
    return Explanation(
        item_id=item_id,
        title=title,
        reason=found.reason,
        score=float(whole.total[0]),
        base=base,
        generated=float(whole.generated[0]),
        past=_past(recommender, row, read, whole, base),
        modalities=_modalities(recommender, row, read, whole, base),
        levels=tuple(Level(*level) for level in levels),
        experts=tuple(Expert(*expert, log_share) for expert in experts),
    )


def _past(
    recommender: Recommender, row: int, read: NDArray[np.int64], whole: Score, base: float
) -> tuple[Past, ...]:
    """Share out what the history moved among its items; without any of them there is the base."""
    model, items = recommender.model, recommender.catalogue.items

    def worth(groups: NDArray[np.bool_]) -> NDArray[np.float64]:
        some = groups.any(1)
        found = np.full(len(groups), base)
        found[some] = scored(model, row, Sequences.of([read[g] for g in groups[some]])).total
        return found

    moved = shares(len(read), worth)
    without = worth(~np.eye(len(read), dtype=bool))
    ids = items["item_id"].gather(read).to_list()
    parts = zip(
        ids,
        titles(items, read.tolist(), WIDTH),
        moved.tolist(),
        (whole.total[0] - without).tolist(),
        strict=True,
    )
    return tuple(Past(*part) for part in parts)


def _modalities(
    recommender: Recommender, row: int, read: NDArray[np.int64], whole: Score, base: float
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
    rest = float(whole.total[0] - base - moved.sum())
    parts = zip(names, moved.tolist(), strict=True)
    return (*(Modality(*part) for part in parts), Modality(REST, rest))
