"""Catalogue-constrained beam search: only codes that lead to an allowed item are ever looked at."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mgrec.ids.filters import Filter
from mgrec.model.decoder import Context
from mgrec.model.generator import Generator
from mgrec.model.products import recurring_shapes

Growing = tuple[Tensor, ...]  # int64 [rows] twice, users and beams: the decoder's rows, in order


@dataclass(frozen=True, eq=False)
class Found:
    """What a search has found.

    Attributes
    ----------
    items : int64 [users, found], best first, -1 behind the last
    scores : float32 [users, found], -inf behind the last
    bound : float32 [users], no allowed item that was not found scores higher; -inf: there is none
    """

    items: Tensor
    scores: Tensor
    bound: Tensor


def beam_search(
    model: Generator, context: Context, beams: int, allow: Filter | None = None
) -> tuple[Tensor, Tensor]:
    """Return items and scores of `search`."""
    found = search(model, context, beams, allow)
    return found.items, found.scores


@torch.inference_mode()
def search(model: Generator, context: Context, beams: int, allow: Filter | None = None) -> Found:
    """Generate the likeliest items of each context.

    A filter masks and does not renormalise: scores stay log-probabilities of the whole catalogue.
    Under the legal softmax a beam with one catalogue item left under it is finished. A prefix is
    at least as likely as whatever it leads to, so that the best one ever dropped is the bound.

    Parameters
    ----------
    context : one row a user
    beams : prefixes kept a user, and the most items returned
    allow : items that may come out; a row a user where it names them
    """
    trie = model.trie
    state = model.decoder.begin(context)
    kept = _Beams.at_the_root(context)
    growing = kept.growing()
    bound = torch.full_like(context.start[:, 0], float("-inf"), dtype=torch.float32)
    x, which = context.start, None
    for level in range(trie.depth):
        user = growing[0]
        with recurring_shapes(len(user) == kept.item.numel()):
            hidden = model.decoder.step(state, x, user, which)
            children, scores = model.next_codes(level, hidden, kept.node[growing])
        scores = scores + kept.score[growing][:, None]
        if allow is not None:
            allow.bar(level, children, user, scores)
        score, best, dropped = best_of(kept.grown(growing, scores), beams)
        bound = torch.maximum(bound, dropped)

        parent, child = best // children.width, best % children.width
        row = kept.rows(growing).gather(1, parent)
        node = (children.begin[row] + child).clamp_(max=len(trie.levels[level].code) - 1)
        item = kept.item.gather(1, parent).masked_fill(score == float("-inf"), -1)
        kept = _Beams(node, score, item).ended(model, level)
        growing = kept.growing()
        if not len(growing[0]):
            break
        state.follow(row[growing])
        x, which = model.embed_codes(level, kept.node[growing])
    return Found(kept.item, kept.score, bound)


@dataclass(frozen=True, eq=False)
class _Beams:
    """Each user's best prefixes of one length; a beam that has become an item is finished.

    Attributes
    ----------
    node : int64 [users, width], of the trie; any where the beam is finished
    score : float32 [users, width], -inf where there are no more prefixes
    item : int64 [users, width], of a finished beam, else -1
    """

    node: Tensor
    score: Tensor
    item: Tensor

    @classmethod
    def at_the_root(cls, context: Context) -> _Beams:
        """Return the empty prefix of every user."""
        node = torch.zeros(context.rows, 1, dtype=torch.int64, device=context.start.device)
        return cls(node, torch.zeros_like(node, dtype=torch.float32), torch.full_like(node, -1))

    def growing(self) -> Growing:
        """Find the beams that are not finished."""
        return ((self.item < 0) & (self.score > float("-inf"))).nonzero(as_tuple=True)

    def rows(self, growing: Growing) -> Tensor:
        """Return int64 [users, width]: which row is whose, 0 for finished beams."""
        rows = torch.zeros_like(self.item)
        rows[growing] = torch.arange(len(growing[0]), device=rows.device)
        return rows

    def grown(self, growing: Growing, scores: Tensor) -> Tensor:
        """Return float32 [users, width * most]: all that may be among the next beams.

        Of a growing beam these are its children, whose scores are [rows, most]; a finished one is
        its own only child.
        """
        users, width = self.score.shape
        if len(scores) == users * width:
            return scores.view(users, -1)
        grown = scores.new_full((users, width, scores.shape[1]), float("-inf"))
        grown[..., 0] = self.score.masked_fill(self.item < 0, float("-inf"))
        grown[growing] = scores
        return grown.flatten(1)

    def ended(self, model: Generator, level: int) -> _Beams:
        """Finish the beams that have come down to one item."""
        leaf, end = model.trie.levels[level].span(self.node)
        one = torch.full_like(leaf, level == model.trie.depth - 1, dtype=torch.bool)
        if model.legal:  # further codes have no alternative, and cost nothing
            one |= end - leaf == 1
        one &= (self.item < 0) & (self.score > float("-inf"))
        return replace(self, item=torch.where(one, model.trie.item_of_leaf[leaf].long(), self.item))


def best_of(scores: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the k best of [rows, n] with their places, the earlier place first where they tie.

    The third, [rows], is the best of the others, -inf where there are none.
    """
    k = min(k, scores.shape[1])
    values, places = scores.topk(min(k + 1, scores.shape[1]), dim=1)
    if values.shape[1] > k:
        others, values, places = values[:, k], values[:, :k], places[:, :k].clone()
    else:
        others = torch.full_like(values[:, 0], float("-inf"))
    # Where more are as good as the last, `topk` takes any of them.
    torn = (others == values[:, -1]) & (others > float("-inf"))
    for row in torn.nonzero()[:, 0].tolist():
        places[row] = scores[row].argsort(descending=True, stable=True)[:k]
    places = places.sort(dim=1).values
    values, order = scores.gather(1, places).sort(dim=1, descending=True, stable=True)
    return values, places.gather(1, order), others
