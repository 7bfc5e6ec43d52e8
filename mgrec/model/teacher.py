"""A teacher for sequence training: targets that the log makes likely, in place of some it has."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from mgrec.model.neighbours import FADE, Table

READ = 8  # items of a history; what an older one says is not heard after being sharpened
SHARPNESS = 2.0  # power of a strength that chances are proportional to


class Teacher:
    """Draws what may follow a history by a table of what follows what.

    A log shows one next item a history, and the codes that tell an item from its siblings only as
    often as it was taken; the table says what else was as likely to come. Learning from another
    model's expectation is distillation (arXiv 1503.02531), here by drawn targets.

    Parameters
    ----------
    table : of transitions, from the log that is trained on
    share : chance of a target to be drawn
    """

    def __init__(self, table: Table, share: float) -> None:
        self.share = share
        self.place, self.item = table.place, table.item
        self.weight = table.strength**SHARPNESS  # [rows, most]
        self.mass = self.weight.sum(1)  # [rows]

    def targets(self, windows: Tensor, wanted: Tensor) -> Tensor:
        """Return int64 [wanted]: targets of some places of windows.

        That is the next item or, with the chance of `share`, a draw: one of the latest items of the
        history, then one of those that follow it, both in proportion to the square of (fade times
        strength). Where the table knows nothing of a history, the next item stays.

        Parameters
        ----------
        windows : int64 [rows, n], -1 for padding on the right
        wanted : bool [rows, n - 1], which items' followers; none is padding
        """
        targets = windows[:, 1:].clone()
        drawn = (torch.rand(targets.shape) < self.share) & wanted
        # Of each place, itself and what stands before it, the latest first: [cases, READ].
        behind = pad(windows[:, :-1], (READ - 1, 0), value=-1).unfold(1, READ, 1).flip(-1)
        behind = behind[drawn]
        row = self.place[behind.clamp(min=0)].long()
        fade = torch.exp(-torch.arange(READ) / FADE)
        said = self.mass[row] * fade**SHARPNESS * (behind >= 0)
        known = said.sum(1) > 0
        row = row[known].gather(1, said[known].multinomial(1))[:, 0]
        follower = self.weight[row].multinomial(1)
        found = targets[drawn]
        found[known] = self.item[row].gather(1, follower)[:, 0].long()
        targets[drawn] = found
        return targets[wanted]
