"""Teaching: what experts, trained before, expect together at every place of a log."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mgrec.catalogue import Catalogue
from mgrec.data.sequences import Sequences
from mgrec.data.splits import Cases
from mgrec.model.checkpoint import Checkpoint
from mgrec.model.device import where
from mgrec.model.experts import Experts
from mgrec.model.generator import Generator
from mgrec.model.teacher import Teacher
from mgrec.progress import Bar, bar, say
from mgrec.recipe import Recipe
from mgrec.search.weights import weigh

LISTED = 64  # items a place; what is less likely than these is not drawn
ROWS = 256  # places scored at once
PART = 1 << 15  # places saved at once
SHARPNESS = 2.0  # power of a chance that is drawn by: what is likely is learned first


@dataclass(frozen=True, eq=False)
class Teachers:
    """Experts that teach, and how much each one's log-probability counts.

    Attributes
    ----------
    experts : trained
    weight : float32 [experts], 0 for those that do not teach; the likeliest on validation
    facts : of the training of each
    """

    experts: Experts
    weight: Tensor
    facts: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def weighed(
        cls, experts: Experts, recipe: Recipe, sample: Cases | None, facts: dict[str, Any]
    ) -> Teachers:
        """Weigh the recipe's teachers on a sample of validation; without one all count alike."""
        places = [experts.names.index(name) for name in recipe.training.teachers]
        each = torch.full((len(places),), 1 / len(places))
        if sample is not None:
            history = sample.history.last(recipe.model.history)
            each = weigh(experts, places, history, sample.targets, LISTED).float()
        weight = torch.zeros(len(experts.names)).index_put((torch.tensor(places),), each)
        told = zip(recipe.training.teachers, each.tolist(), strict=True)
        say("teachers: " + ", ".join(f"{name} {w:.2f}" for name, w in told))
        return cls(experts, weight, facts)

    def lists(
        self,
        log: Sequences,
        history: int,
        share: float,
        saves: Callable[[str], Checkpoint | None] = lambda part: None,
    ) -> Teacher:
        """Return the teacher of a log.

        Parameters
        ----------
        log : one row a user
        history : most items before a place that are read
        share : chance of a target to be drawn
        saves : the checkpoint of each numbered part of the places, which is not listed again
        """
        first = np.repeat(log.offsets[:-1], log.lengths)
        behind = np.minimum(np.arange(len(log.items)) - first, history)
        asked = np.argsort(behind, kind="stable")[(behind == 0).sum() :]  # of like length
        most = min(LISTED, self.experts.n_items)
        item = torch.zeros(len(behind), most, dtype=torch.int32)
        chance = torch.zeros(len(behind), most, dtype=torch.float16)
        origin = [PART, most, SHARPNESS, *self.weight.tolist()]  # what decides a part
        seconds = 0.0
        self.experts.eval()
        with bar("teacher", len(asked), "places") as shown:
            for number, begin in enumerate(range(0, len(asked), PART)):
                places, checkpoint = asked[begin : begin + PART], saves(str(number))
                part = None if checkpoint is None else _Part.load(checkpoint, origin)
                if part is not None:
                    shown.advance(len(places))
                else:
                    part = self._part(log, places, behind, most, shown)
                    if checkpoint is not None:
                        part.save(checkpoint, origin)
                item[places], chance[places] = part.item, part.chance
                seconds += part.seconds
        return Teacher(item, chance, share, seconds)

    def _part(
        self,
        log: Sequences,
        places: NDArray[np.int64],
        behind: NDArray[np.int64],  # of every place of the log: items before it that are read
        most: int,
        shown: Bar,
    ) -> _Part:
        """List what is likely at some places."""
        begun, found = time.monotonic(), []
        for rows in np.array_split(places, math.ceil(len(places) / ROWS)):
            before = log.slices(rows - behind[rows], rows).padded()
            found.append(self._likeliest(torch.from_numpy(before), most))
            shown.advance(len(rows))
        item, chance = (torch.cat(parts) for parts in zip(*found, strict=True))
        return _Part(item, chance, time.monotonic() - begun)

    @torch.inference_mode()
    def _likeliest(self, before: Tensor, most: int) -> tuple[Tensor, Tensor]:
        """int64 [n, length] histories -> int32 and float16 [n, most]: items, and their chances"""
        states = self.experts.states(before.to(where(self.experts)))
        likely = self.experts.combined(states, None, SHARPNESS * self.weight).softmax(1)
        best = likely.topk(most, dim=1)
        return best.indices.int().cpu(), best.values.half().cpu()


@dataclass(frozen=True, eq=False)
class _Part:
    """Lists of some places, as `Teacher` has them, and what they took."""

    item: Tensor
    chance: Tensor
    seconds: float

    @classmethod
    def load(cls, checkpoint: Checkpoint, origin: list[float]) -> _Part | None:
        """Return a part that was saved, unless it was made by other means."""
        saved = checkpoint.load() if checkpoint.path.is_file() else None
        if saved is None or saved[1]["origin"] != origin:
            return None
        return cls(saved[0]["item"], saved[0]["chance"], saved[1]["seconds"])

    def save(self, checkpoint: Checkpoint, origin: list[float]) -> None:
        lists = {"item": self.item, "chance": self.chance}
        checkpoint.save(lists, {"origin": origin, "seconds": self.seconds})


def teachers_of(model: Generator, catalogue: Catalogue, recipe: Recipe) -> Experts:
    """Return the experts that teach a model: its own, where all that the recipe wants are among
    those; else others, untrained, that no artifact will hold."""
    own, wanted = model.experts, recipe.training.teachers
    if own is not None and not own.shared and set(wanted) <= set(own.names):
        return own
    views = recipe.model.experts.model_copy(update={"views": wanted, "shared": False})
    torch.manual_seed(recipe.seed)
    config = recipe.model.model_copy(update={"experts": views})
    experts = Experts(config, catalogue.ids, catalogue.vectors, model.tokens)
    return experts.to(where(model))
