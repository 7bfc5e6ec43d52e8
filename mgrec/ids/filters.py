"""Filters inside the search: which items a request allows, asked of any prefix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mgrec.ids.children import Children, barrier
from mgrec.ids.excluded import Excluded
from mgrec.ids.kept import Apart, Kept
from mgrec.ids.trie import Trie


@dataclass(frozen=True, eq=False)
class Filter:
    """Items that may come out, for a batch of users; a filter masks and never rescales.

    It is on the CPU, and where it keeps some items only the scores must be, too.

    Attributes
    ----------
    kept : what everybody may have, or each user; None keeps all
    excluded : what each user may not have of that; None: all may have all of it
    """

    trie: Trie
    kept: Kept | Apart | None = None
    excluded: Excluded | None = None

    @classmethod
    def of(
        cls,
        trie: Trie,
        keep: Tensor | Kept | Sequence[Kept] | None = None,
        exclude: Tensor | None = None,
    ) -> Filter:
        """Build a filter.

        Parameters
        ----------
        keep : bool [items], the items allowed for every user, or what was made of it, or one such
            for each user; None: all
        exclude : int64 [users, most] or None, further items not allowed, a row a user, -1 for none
        """
        trie = trie.on_cpu
        kept: Kept | Apart | None
        if isinstance(keep, Tensor):
            kept = Kept.of(trie, keep)
        elif isinstance(keep, Kept) or keep is None:
            kept = keep
        else:
            apart = Apart.of(keep)
            kept = apart.masks[0] if len(apart.masks) == 1 else apart
        allow = cls(trie, kept)
        return allow if exclude is None or not exclude.numel() else allow.without(exclude)

    def without(self, items: Tensor) -> Filter:
        """Return the filter that excludes further items, int64 [users, n], -1 for none."""
        more = Excluded.of(self.trie, self.kept, items)
        return replace(self, excluded=self.excluded.joined(more) if self.excluded else more)

    def bar(self, level: int, children: Children, users: Tensor, scores: Tensor) -> None:
        """Set the scores of children with no allowed item under them to -inf.

        Parameters
        ----------
        children : each row those of a node that was left by the level before
        users : int64 [rows], whose exclusions hold in a row
        scores : float32 [rows, width], changed in place
        """
        if not scores.numel():
            return
        if self.kept is not None:
            scores += barrier(self.kept.barred(level, children, users))
        if self.excluded is not None:
            self.excluded.bar(level, children, users, scores)

    def items(self, users: int) -> Tensor:
        """Return bool [users, items]: the allowed ones, spelled out."""
        n = self.trie.n_items
        allowed = torch.ones(users, n + 1, dtype=torch.bool)
        if self.kept is not None:
            allowed[:, :-1] = self.kept.leaves
        if self.excluded is not None:
            allowed.view(-1)[torch.from_numpy(self.excluded.keys)] = False
        return allowed[:, self.trie.leaf_of_item.long()]
