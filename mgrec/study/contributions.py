"""Contributions: what each part of a score is worth, measured by leaving it out and by itself."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mgrec.errors import RequestError
from mgrec.measure.evaluation import Evaluation, measure
from mgrec.measure.metrics import LISTED
from mgrec.model.device import where
from mgrec.model.generator import Generator
from mgrec.model.readers import Reader, best_items
from mgrec.recommender import Recommender

REPEAT = "repeat score"


def parts_of(model: Generator) -> list[str]:
    """Return what is added to a model's generated score, by name."""
    views = () if model.experts is None else model.experts.names
    return [*views, *([REPEAT] if model.config.repeat else [])]


def without(model: Generator, parts: list[str]) -> Generator:
    """Return a model whose score leaves some parts out; weights are shared, not copied."""
    shared = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    made = copy.deepcopy(model, {**shared, id(model.trie): model.trie})
    if REPEAT in parts:
        made.repeat = torch.zeros_like(model.repeat)
        if made.experts is not None:
            made.experts.repeat = torch.zeros_like(made.experts.repeat)
    if made.experts is not None:
        kept = [name not in parts for name in made.experts.names]
        made.experts.weight = made.experts.weight * torch.tensor(kept)
    return made


@dataclass(frozen=True)
class _Experts:
    """A model's experts as they are weighed, without what it generates: a `Reader`."""

    model: Generator
    history: int  # maximum items of a history

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return where(self.model)

    def last(self, items: Tensor) -> Tensor:
        """The histories themselves, since every expert makes states of another shape of them."""
        return items

    def scores(self, states: Tensor) -> Tensor:
        """int64 [rows, n] -> float32 [rows, items]"""
        context, experts = self.model.context(states), self.model.experts
        assert experts is not None
        assert context.views is not None
        return experts.combined(context.views, context.seen)


def contributions(
    made: Recommender, *, exclude_seen: bool = False
) -> Iterator[tuple[str, Evaluation]]:
    """Measure a recommender without each part of its score, and what scores by itself alone.

    What is left keeps the weights and repeat scores that were chosen for the whole.

    Raises
    ------
    RequestError
        If its score has but one part.
    """
    names = parts_of(made.model)
    if not names:
        raise RequestError("contributions: found no experts and no repeat score, expected some")
    for name in names:
        part = replace(made, model=without(made.model, [name]))
        yield f"without {name}", part.evaluate(exclude_seen=exclude_seen)
    experts, parts, catalogue = made.model.experts, made.split(), made.catalogue

    def measured(reader: Reader) -> Evaluation:
        found = best_items(reader, parts.test.history, LISTED, exclude_seen, catalogue.listed)
        ids = catalogue.items["item_id"]
        return measure(found, parts, made.users.ids, ids, catalogue.present())

    if len(names) > 1:
        if experts is not None and experts.weight.any():
            whole = int(parts.test.history.lengths.max())  # a repeat score needs all seen items
            reader = _Experts(made.model, whole)
            yield "without generated", measured(reader)
        alone = replace(made, model=without(made.model, names))
        yield "generated alone", alone.evaluate(exclude_seen=exclude_seen)
    if experts is None or experts.shared:
        return  # shared ones have no reader to be asked by themselves
    for name in experts.names:
        yield f"{name} alone", measured(experts[name])
