"""Contributions: what each part of a score is worth, measured by leaving it out and by itself."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace

import torch

from mgrec.errors import RequestError
from mgrec.measure.evaluation import Evaluation, measure
from mgrec.model.generator import Generator
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


def contributions(
    made: Recommender, *, exclude_seen: bool = False
) -> Iterator[tuple[str, Evaluation]]:
    """Measure a recommender without each part of its score, without any, and each expert alone.

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
    if len(names) > 1:
        alone = replace(made, model=without(made.model, names))
        yield "generated alone", alone.evaluate(exclude_seen=exclude_seen)
    if made.model.experts is None or made.model.experts.shared:
        return  # shared ones have no reader to be asked by themselves
    parts = made.split()
    for name in made.model.experts.names:
        found = made.model.experts[name].top(parts.test.history, 20, exclude_seen)
        present = made.catalogue.present()
        yield f"{name} alone", measure(found, parts, made.catalogue.n_items, present)
