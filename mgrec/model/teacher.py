"""A teacher for sequence training: targets that others expect, in place of some of the log's."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Teacher:
    """Draws what may come at a place of a log, by lists made before training.

    A log shows one next item a history, and the codes that tell an item from its siblings only as
    often as it was taken; others' expectations say what else was as likely to come. Learning from
    them is distillation (arXiv 1503.02531), here by drawn targets.

    Attributes
    ----------
    item : int32 [places, most], what may come at each place, by what stands before it
    chance : float16 [places, most], in proportion to which it is drawn
    share : chance of a target to be drawn
    seconds : that it took to make the lists
    """

    item: Tensor
    chance: Tensor
    share: float
    seconds: float = 0.0

    def to(self, device: torch.device) -> Teacher:
        """Return the teacher on a device."""
        return replace(self, item=self.item.to(device), chance=self.chance.to(device))

    def targets(self, places: Tensor, items: Tensor) -> Tensor:
        """Return int64 [n]: what is learned at some places; the log's own items, or draws.

        Parameters
        ----------
        places : int64 [n], none the first of a user
        items : int64 [n], what the log has there
        """
        drawn = torch.rand(places.shape, device=places.device) < self.share
        at = places[drawn]
        which = self.chance[at].float().multinomial(1)
        return items.masked_scatter(drawn, self.item[at].gather(1, which)[:, 0].long())
