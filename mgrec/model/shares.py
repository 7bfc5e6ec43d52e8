"""What items that training never saw get of their siblings' probability.

A new item makes a choice where the model knew one way only, and never learnt to choose. Left to the
untrained logits, it may take next to nothing or next to all from the item beside it. So codes that
lead to new items only are kept out of the softmax. What the new ones get instead:

- Where experts know items by their content, the probability that these give them (the candidates of
  LIGER, arXiv 2411.18814, 4.2), times a ratio. All others keep their generated scores, to rounding.
- Else a share of the codes beside them; these keep the probabilities that they were trained to, but
  for one factor.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mgrec.ids.children import Children
from mgrec.ids.trie import Trie


@dataclass(frozen=True, eq=False)
class Shares:
    """Per level of a trie: which nodes are new, and how a parent's probability is shared.

    Attributes
    ----------
    new : bool [nodes] a level
        No item that training saw is under the node.
    given, kept : float32 [parents] a level
        Logarithms of the share of a parent's probability that its new children get together, and of
        what its other children keep.
    by_content : float or None
        Logarithm of the ratio by which experts' probabilities count as generated ones; None: there
        are none that know content, and shares are all that a new item gets.
    items : bool [items], the new ones
    """

    new: tuple[Tensor, ...]
    given: tuple[Tensor, ...]
    kept: tuple[Tensor, ...]
    by_content: float | None
    items: Tensor

    def log_prob(
        self, level: int, parents: Tensor, children: Children, scores: Tensor, legal: bool
    ) -> Tensor:
        """Return float32 [rows, width]: log-probabilities of the children of some parents.

        Parameters
        ----------
        parents : int64 [rows]
        scores : float32 [rows, width], without shares, -inf where a child is not real
        legal : whether the children have all of their parent's probability; else some of it is lost
            to codes that lead nowhere, and new ones share in what the others have, though below a
            prefix that only new ones have, where no other tells what is lost, they lose nothing
        """
        nothing = float("-inf")
        new = children.of(self.new[level])
        old = scores.masked_fill(new, nothing)
        among = old.logsumexp(-1, keepdim=True)
        among = among.masked_fill(among == nothing, 0.0)  # a parent that is new has new ones only
        mass = torch.zeros_like(among) if legal else among
        fresh = scores.masked_fill(~new, nothing)
        within = fresh - fresh.logsumexp(-1, keepdim=True).clamp(min=torch.finfo().min)
        kept = old + (mass - among) + self.kept[level][parents, None]
        return torch.where(new, within + mass + self.given[level][parents, None], kept)


def shares_of(
    trie: Trie,
    added: NDArray[np.bool_] | None,
    counts: NDArray[np.int64],
    ratio: float | None,
    *,
    by_content: bool = False,
) -> Shares | None:
    """Return the shares under which a new item gets what `ratio` average items would.

    An item weighs one more than training saw it, a new one `ratio` times the mean weight. New
    children get the part of their parent's weight that is theirs. Where new and old items lie
    mixed under a child, the choice is made further down.

    Parameters
    ----------
    added : bool [items], the new ones; None or none of them: there is nothing to share
    counts : int64 [items], how often training saw each
    ratio : None leaves new items to the logits
    by_content : whether experts score new items, so that nothing need be shared
    """
    if ratio is None or added is None or not added.any():
        return None
    leaf = trie.item_of_leaf.numpy()
    new_leaf = added[leaf]
    weight = counts[leaf] + 1.0
    weight[new_leaf] = ratio * weight[~new_leaf].mean()
    olds = np.concatenate([[0], np.cumsum(~new_leaf)])
    weights = np.concatenate([[0], np.cumsum(weight)])  # before each leaf
    above = np.array([0, len(leaf)])  # the parents' first leaves
    new, given, kept = [], [], []
    for level in trie.levels:
        first = level.first.numpy()
        fresh = olds[first[1:]] == olds[first[:-1]]
        of_new = np.where(fresh, weights[first[1:]] - weights[first[:-1]], 0.0)
        before = np.concatenate([[0], np.cumsum(of_new)])
        start = level.start.numpy()
        theirs = before[start[1:]] - before[start[:-1]]  # [parents]
        share = np.clip(theirs / (weights[above[1:]] - weights[above[:-1]]), 0, 1)
        share *= not by_content
        share[olds[above[1:]] == olds[above[:-1]]] = 1  # of a new parent, all
        with np.errstate(divide="ignore"):
            given.append(torch.from_numpy(np.log(share).astype(np.float32)))
            kept.append(torch.from_numpy(np.log1p(-share).astype(np.float32)))
        new.append(torch.from_numpy(fresh))
        above = first
    scale = math.log(ratio) if by_content else None
    return Shares(tuple(new), tuple(given), tuple(kept), scale, torch.from_numpy(added))
