"""An expert without a network: what stands near the items of a history, by a sparse table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import pad

from mgrec.data.sequences import Sequences
from mgrec.model.histories import latest
from mgrec.model.readers import best_items

READ = 16  # items of a history; an older one has no say left
FADE = 2.0  # places back in a history in which an item's say falls to 1/e
FLOORS = (1e-4, 1e-3, 1e-2, 1e-1)
SCALES = tuple(2.0 ** (n / 2) for n in range(-4, 9))
CASES = 1000  # tell two numbers well enough
ROWS = 256  # histories scored at once


@dataclass(frozen=True, eq=False)
class Table:
    """Which items stand near an item, and how near.

    Attributes
    ----------
    place : int32 [items]
        Row of each item; the last row is that of items that lead nowhere, and empty.
    item : int32 [rows, most], the near ones
    strength : float32 [rows, most], 0 or more; 0 fills up
    """

    place: Tensor
    item: Tensor
    strength: Tensor

    @classmethod
    def empty(cls, n_items: int) -> Table:
        """Return the table of items that all lead nowhere."""
        nothing = torch.zeros(n_items, dtype=torch.int32)
        return cls(nothing, torch.zeros(1, 1, dtype=torch.int32), torch.zeros(1, 1))

    @classmethod
    def of_rows(cls, n_items: int, known: Tensor, item: Tensor, strength: Tensor) -> Table:
        """Return a table from the rows of the known items.

        Parameters
        ----------
        known : int64 [known], no item twice
        item, strength : [known, most], neighbours; a strength below zero counts as none
        """
        place = torch.full((n_items,), len(known), dtype=torch.int32)
        place[known] = torch.arange(len(known), dtype=torch.int32)
        last = (0, 0, 0, 1)
        return cls(place, pad(item.int(), last), pad(strength.clamp(min=0), last))


class Neighbours(nn.Module):
    """Scores the catalogue by the items near those of a history, the last of which count most.

    What an item is worth is the sum of its strengths beside the history's items, each fading with
    its age; its probability is proportional to (worth + floor) to the power of `scale`.

    Parameters
    ----------
    n_items : of the catalogue
    history : most items of a history that are read
    """

    place: Tensor
    item: Tensor
    strength: Tensor
    scale: Tensor  # float32 []
    floor: Tensor  # float32 []

    def __init__(self, n_items: int, history: int) -> None:
        super().__init__()
        self.n_items, self.history = n_items, min(history, READ)
        for name, part in vars(Table.empty(n_items)).items():
            self.register_buffer(name, part)
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("floor", torch.full((), FLOORS[-1]))

    @property
    def device(self) -> torch.device:
        """Where the table is."""
        return self.place.device

    def fill(self, table: Table) -> None:
        """Take a table over the same items."""
        for name, part in vars(table).items():
            setattr(self, name, part.to(self.device))

    def last(self, items: Tensor) -> Tensor:
        """int64 [rows, n], -1 for padding on the right -> [rows, at most READ]: what is read."""
        return latest(items, self.history)

    def scores(self, states: Tensor) -> Tensor:
        """Return float32 [rows, items], logits, from what `last` returned."""
        return self.scale * (self._worth(states) + self.floor).log()

    def top(self, history: Sequences, k: int, exclude_seen: bool = False) -> NDArray[np.int64]:
        """Return int64 [rows, k]: item indices, best first; histories are not empty."""
        return best_items(self, history, k, exclude_seen)

    def _worth(self, items: Tensor) -> Tensor:
        """Return float32 [rows, items], from int64 [rows, n] with -1 for padding behind."""
        real = items >= 0
        age = real.sum(1, keepdim=True) - 1 - torch.arange(items.shape[1], device=items.device)
        say = torch.exp(-age / FADE) * real
        row = self.place[items.clamp(min=0)].long()
        found = (self.strength[row] * say[..., None]).flatten(1)
        out = torch.zeros(len(items), self.n_items, device=items.device)
        return out.scatter_add_(1, self.item[row].long().flatten(1), found)

    @torch.inference_mode()
    def calibrate(self, history: Sequences, targets: NDArray[np.integer]) -> None:
        """Set `scale` and `floor` to the likeliest of a grid, on cases that the table never saw."""
        cases = np.linspace(0, len(history) - 1, min(CASES, len(history))).astype(np.int64)
        recent, targets = history.select(cases).last(self.history), targets[cases]
        likely = torch.zeros(len(FLOORS), len(SCALES))
        for at in range(0, len(recent), ROWS):
            rows = np.arange(at, min(at + ROWS, len(recent)))
            worth = self._worth(torch.from_numpy(recent.select(rows).padded()).to(self.device))
            right = torch.from_numpy(targets[rows]).long().to(self.device)[:, None]
            for i, floor in enumerate(FLOORS):
                logs = (worth + floor).log()
                for j, scale in enumerate(SCALES):
                    logits = logs * scale
                    likely[i, j] += float(
                        (logits.gather(1, right)[:, 0] - logits.logsumexp(1)).sum()
                    )
        best = divmod(int(likely.argmax()), len(SCALES))
        self.floor.fill_(FLOORS[best[0]])
        self.scale.fill_(SCALES[best[1]])

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Make room for a table of the size that it was filled to, which no recipe tells."""
        for name in ("item", "strength"):
            if (found := state.get(prefix + name)) is not None:
                setattr(self, name, torch.empty_like(found, device=self.device))
        super()._load_from_state_dict(state, prefix, *rest)
