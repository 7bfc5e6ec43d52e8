"""The best possible rankers of a planted world: they know its rule, and see what you let them.

They give the ceilings to judge a model by: one that sees texts and pictures, one that sees only
texts, one that sees only pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mgrec.data.sequences import Sequences
from mgrec.data.worlds import World
from mgrec.errors import RequestError

_MODALITIES = ("text", "image")


@dataclass(frozen=True, eq=False)
class BayesRanker:
    """Ranks by the exact probability of each item under the planted rule.

    It knows the rule, every item's popularity, and of every item what it sees: the topic where
    there is a text, the look where there is a picture. What it does not see is unknown, all
    values equally likely and independent between items; then an item counts towards every cell
    to which it may belong, by the probability that it does, and a cell's popularity is the
    expected one. With all topics and looks visible nothing is approximate.

    Parameters
    ----------
    world : World
    sees : sequence of {"text", "image"}
    log : Sequences, optional
        Row = user of the world, e.g. a split's ``train``. With it, unseen topics and looks are
        also inferred from who took an item, by somebody who is *told* each of these users'
        favourite cell: an upper bound on what any model that sees ``sees`` can learn from that
        log, memory included.

    Raises
    ------
    RequestError
        If ``sees`` names something else, or ``log`` has other users than the world.
    """

    world: World
    sees: Sequence[str] = _MODALITIES
    log: Sequences | None = None

    def __post_init__(self) -> None:
        unknown = [modality for modality in self.sees if modality not in _MODALITIES]
        if unknown:
            raise RequestError(f"sees: found '{unknown[0]}', expected any of text, image")
        if self.log is not None and len(self.log) != self.world.n_users:
            raise RequestError(
                f"log: found {len(self.log):,} users, expected the world's {self.world.n_users:,}"
            )

    def top(self, history: Sequences, k: int) -> NDArray[np.int64]:
        """Return int64 [rows, k]: the most probable next items, best first, -1 behind the last.

        Items that cannot come are left out: without repurchase, those already taken.
        """
        if k < 1:
            raise RequestError(f"k: found {k}, expected at least 1")
        scores = self.scores(history)
        best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        possible = np.take_along_axis(scores, best, axis=1) > 0
        out = np.full((len(history), k), -1, np.int64)
        out[:, : best.shape[1]] = np.where(possible, best, -1)
        return out

    def scores(self, history: Sequences) -> NDArray[np.float64]:
        """Return float64 [rows, items]: the probability that the item comes next; rows sum to 1."""
        world, weight = self.world, self.world.popularity
        taste = self.taste(history)  # [rows, cells]
        counts = _counts(history, world.n_items)
        left = np.where(counts > 0, 0.0, weight)  # [rows, items]
        in_cell = (counts == 0) @ self._mass  # [rows, cells]
        loyal = world.loyalty * taste * (in_cell > 0)
        fresh = (counts == 0) * (_over(loyal, in_cell) @ self._mass.T)
        fresh += (1 - loyal.sum(1, keepdims=True)) * _over(left, left.sum(1, keepdims=True))
        again = _over(counts, counts.sum(1, keepdims=True))
        repeat = world.repurchase * (history.lengths > 0)[:, None]
        scores: NDArray[np.float64] = repeat * again + (1 - repeat) * fresh
        return scores

    def taste(self, history: Sequences) -> NDArray[np.float64]:
        """Return float64 [rows, cells]: how likely each cell is the user's favourite one."""
        world, weight = self.world, self.world.popularity
        rows = history.padded()
        log_likelihood = np.zeros((len(rows), world.cells))
        free = np.ones((len(rows), world.n_items))
        for item in rows.T:  # one step of all users at a time
            # A repeated item says nothing about taste: it might be repeated under any.
            now = np.flatnonzero((item >= 0) & (free[np.arange(len(rows)), item] > 0))
            taken = item[now]
            in_cell = free[now] @ self._mass  # [now, cells]
            loyal = world.loyalty * (in_cell > 0)
            anywhere = (weight[taken] / (free[now] @ weight))[:, None]
            chance = loyal * _over(self._mass[taken], in_cell) + (1 - loyal) * anywhere
            log_likelihood[now] += np.log(chance)
            free[now, taken] = 0
        posterior = np.exp(log_likelihood - log_likelihood.max(1, keepdims=True))
        normalised: NDArray[np.float64] = posterior / posterior.sum(1, keepdims=True)
        return normalised

    @cached_property
    def _mass(self) -> NDArray[np.float64]:
        """float64 [items, cells]: an item's popularity, shared between the cells it may be in."""
        return self.world.popularity[:, None] * self._belief

    @cached_property
    def _belief(self) -> NDArray[np.float64]:
        """float64 [items, cells]: the probability that an item belongs to a cell."""
        world = self.world
        topic = _known(world.topic, world.topics, world, "text" if "text" in self.sees else None)
        look = _known(world.look, world.looks, world, "image" if "image" in self.sees else None)
        belief = (topic[:, :, None] * look[:, None, :]).reshape(world.n_items, world.cells)
        if self.log is None:
            return belief
        # Somebody whose favourite cell has mass 1 takes one of its items this many times as
        # often as any other item that is as popular.
        lift = np.log1p(world.loyalty / (1 - world.loyalty) * world.popularity.sum())
        evidence = np.where(belief > 0, lift * _takers(world, self.log), -np.inf)
        told = belief * np.exp(evidence - evidence.max(1, keepdims=True))
        normalised: NDArray[np.float64] = told / told.sum(1, keepdims=True)
        return normalised


def _known(
    kind: NDArray[np.int64], kinds: int, world: World, modality: str | None
) -> NDArray[np.float64]:
    """Return float64 [items, kinds]: certainty where the modality is visible, else a guess."""
    seen = np.zeros(len(kind), bool) if modality is None else world.visible(modality)
    return np.where(seen[:, None], np.eye(kinds)[kind], 1 / kinds)


def _takers(world: World, log: Sequences) -> NDArray[np.float64]:
    """Return float64 [items, cells]: how many users with that favourite cell took the item."""
    user = np.repeat(np.arange(len(log)), log.lengths)
    pairs = np.unique(user * world.n_items + log.items)
    counts = np.zeros((world.n_items, world.cells))
    np.add.at(counts, (pairs % world.n_items, world.taste[pairs // world.n_items]), 1)
    return counts


def _counts(history: Sequences, items: int) -> NDArray[np.float64]:
    """Return float64 [rows, items]: how often each item is in each row."""
    counts = np.zeros((len(history), items))
    np.add.at(counts, (np.repeat(np.arange(len(history)), history.lengths), history.items), 1)
    return counts


def _over(above: NDArray[np.float64], below: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divide, and let anything over nothing be nothing."""
    share: NDArray[np.float64] = above / np.where(below > 0, below, 1)
    return share
