"""The simple rankers that every model has to beat, on the same split and in the same table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mgrec.configs import ModelConfig, NeighboursConfig
from mgrec.data.features import Embeddings
from mgrec.data.sequences import Sequences
from mgrec.errors import RequestError
from mgrec.measure.ranker import best, check_k, unseen
from mgrec.model.neighbours import Neighbours
from mgrec.model.transitions import transitions

_NUMBERS = 20_000_000  # held at once (80 MB), so that memory stays bounded


@dataclass(frozen=True)
class Popularity:
    """The most taken items of train, the same for everybody.

    Attributes
    ----------
    order : int64 [items]
        Item indices, most often taken first; ties in catalogue order.
    """

    order: NDArray[np.int64]

    @classmethod
    def fit(cls, train: Sequences, n_items: int) -> Popularity:
        """Count how often each of the catalogue's items stands in train."""
        counts = np.bincount(train.items, minlength=n_items)
        return cls(np.argsort(-counts, kind="stable"))

    def top(self, history: Sequences, k: int, exclude_seen: bool = False) -> NDArray[np.int64]:
        """Return int64 [rows, k]: the most popular items, -1 behind the last.

        Parameters
        ----------
        history : Sequences
            One row a list; it matters only with `exclude_seen`.
        k : int
        exclude_seen : bool
            Whether items of the row's history are left out.

        Raises
        ------
        RequestError
            If k is below 1.
        """
        check_k(k)
        if not exclude_seen:
            out = np.full((len(history), k), -1, np.int64)
            out[:, : len(self.order)] = self.order[:k]
            return out
        parts = [np.empty((0, k), np.int64)]
        for part in _chunks(history, len(self.order)):
            listed = self.order[: k + int(part.lengths.max(initial=0))]
            parts.append(unseen(np.broadcast_to(listed, (len(part), len(listed))), part, k))
        return np.concatenate(parts)


@dataclass(frozen=True)
class ItemKNN:
    """The items whose embeddings are nearest to what the user took last.

    An item's score is the sum of its cosines to the last `window` items, each counting `decay`
    times as much as the one after it. An item is not its own neighbour: its cosine to itself does
    not count, or every list would begin with the history.

    Attributes
    ----------
    vectors : float32 [items, dim]
        Unit length; zero where an item has no embedding. Such items are never listed.
    window : int
        Items of the history that count; 1 takes the last one alone.
    decay : float
        Weight of an item relative to the one after it.
    """

    vectors: NDArray[np.float32]
    window: int
    decay: float

    @classmethod
    def fit(cls, *embeddings: Embeddings, window: int = 5, decay: float = 0.5) -> ItemKNN:
        """Put one or several modalities side by side, each with the same weight.

        Each modality's vectors are centred (all vectors of one encoder point much the same way) and
        scaled to unit length; an item with several has their mean direction, and one that lacks
        some is known by the others. The defaults did best, or nearly, on validation of both an
        e-commerce and a film log; a decay of .8 over 10 items suits long histories a little better.

        Raises
        ------
        RequestError
            If there are no embeddings, they differ in items, or the window or decay is no good.
        """
        if len({len(modality.vectors) for modality in embeddings}) != 1:
            found = [len(modality.vectors) for modality in embeddings]
            raise RequestError(f"item-kNN: expected embeddings of the same items, found {found}")
        if window < 1 or not 0 < decay <= 1:
            raise RequestError(
                f"item-kNN: expected window >= 1 and 0 < decay <= 1, found {window} and {decay}"
            )
        sides = [_unit(_centred(modality)) for modality in embeddings]
        return cls(_unit(np.concatenate(sides, axis=1)), window, decay)

    def top(self, history: Sequences, k: int, exclude_seen: bool = False) -> NDArray[np.int64]:
        """Return int64 [rows, k]: the nearest items, -1 behind the last.

        A history without a single embedded item has no neighbours and gets -1 throughout.

        Parameters
        ----------
        history : Sequences
        k : int
        exclude_seen : bool
            Whether items of the row's history are left out.

        Raises
        ------
        RequestError
            If k is below 1.
        """
        check_k(k)
        parts = [np.empty((0, k), np.int64)]
        for part in _chunks(history, max(len(self.vectors), self.window * self.vectors.shape[1])):
            scores = self._scores(part.last(self.window))  # float32 [rows, items]
            if exclude_seen:
                scores[np.repeat(np.arange(len(part)), part.lengths), part.items] = -np.inf
            parts.append(best(scores, k))
        return np.concatenate(parts)

    def _scores(self, recent: Sequences) -> NDArray[np.float32]:
        """Return float32 [rows, items]; minus infinity where there is nothing to compare."""
        known = np.any(self.vectors, axis=1)  # bool [items]
        taken = recent.padded()  # int64 [rows, window]
        ago = recent.lengths[:, None] - 1 - np.arange(taken.shape[1])
        weight = np.where((taken >= 0) & known[taken], self.decay ** np.maximum(ago, 0), 0)
        weight = weight.astype(np.float32)
        query = np.einsum("rw,rwd->rd", weight, self.vectors[taken])
        scores: NDArray[np.float32] = query @ self.vectors.T
        rows = np.broadcast_to(np.arange(len(taken))[:, None], taken.shape)
        np.subtract.at(scores, (rows, taken), weight)  # padding has no weight
        scores[:, ~known] = -np.inf
        scores[~weight.any(axis=1)] = -np.inf
        return scores


def looked_at(modalities: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return what item-kNN compares, by name: each modality, and all of them side by side."""
    names = tuple(modalities)
    found: dict[str, tuple[str, ...]] = {name: (name,) for name in names}
    if len(names) > 1:
        found["both" if len(names) == 2 else "all"] = names
    return found


def linear(train: Sequences, n_items: int) -> Neighbours:
    """Solve for what follows what (SLIST, arXiv 2103.16104), at the recipes' own settings.

    What is fitted on validation does not change its order, so nothing is.
    """
    settings = NeighboursConfig()
    ranker = Neighbours(n_items, ModelConfig().history)
    table = transitions(
        train, n_items, items=settings.items, most=settings.most, ridge=settings.ridge
    )
    ranker.fill(table)
    return ranker


def _chunks(history: Sequences, width: int) -> list[Sequences]:
    """Cut the rows so that `width` numbers for each row of a chunk fit."""
    step = max(1, _NUMBERS // max(width, 1))
    cuts = range(0, len(history), step)
    return [history.select(np.arange(cut, min(cut + step, len(history)))) for cut in cuts]


def _centred(modality: Embeddings) -> NDArray[np.float32]:
    """Return float32 [items, dim] with the mean of the present items taken off; others zero."""
    present = modality.present[:, None]
    mean = modality.vectors.mean(axis=0, where=present) if present.any() else np.float32(0)
    return np.where(present, modality.vectors - mean, np.float32(0)).astype(np.float32)


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale every row to length 1; a row of zeros stays."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(length > 0, length, 1)).astype(np.float32)
