"""The children of some nodes, as the run of nodes that they are."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

NOTHING = -(1 << 23)  # as a float32, these 32 bits are -inf


@dataclass(frozen=True, eq=False)
class Children:
    """The children of one parent a row: they stand side by side among the nodes of their level.

    Attributes
    ----------
    begin : int64 [rows], the first of each
    count : int64 [rows], how many there are
    """

    begin: Tensor
    count: Tensor

    @cached_property
    def width(self) -> int:
        """The most that a row has, which all rows are padded to."""
        return int(self.count.max()) if self.count.numel() else 0

    @cached_property
    def padding(self) -> Tensor:
        """bool [rows, width], which are no children."""
        return torch.arange(self.width, device=self.begin.device) >= self.count[:, None]

    @cached_property
    def alike(self) -> bool:
        """Whether no row has padding."""
        return bool((self.count == self.width).all())

    def nodes(self, last: int) -> Tensor:
        """Return int64 [rows, width]: the nodes themselves, none of them beyond the last."""
        place = torch.arange(self.width, device=self.begin.device)
        return (self.begin[:, None] + place).clamp_(max=last)

    def of(self, table: Tensor) -> Tensor:
        """Return [rows, width]: what a table [nodes] holds for each child; anything in padding.

        Whole runs are copied, many times faster than looking up one node after the other.
        """
        last = len(table) - self.width  # where a run as wide as all may begin
        if not self.width or last < 0:
            return table[self.nodes(len(table) - 1)]
        found = table.unfold(0, self.width, 1).index_select(0, self.begin.clamp(max=last))
        late = (self.begin > last).nonzero()[:, 0]
        if len(late):
            at_end = Children(self.begin[late], self.count[late])
            rows = table[at_end.nodes(len(table) - 1)]
            found[late, : rows.shape[1]] = rows
        return found


def barrier(mask: Tensor) -> Tensor:
    """Return float32 of the same shape, to be added to scores: -inf where a mask holds, else 0.

    `masked_fill_` goes through a mask element by element: six times slower on a CPU.
    """
    return mask.int().mul_(NOTHING).view(torch.float32)
