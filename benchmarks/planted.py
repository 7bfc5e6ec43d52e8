"""A planted shop of Beauty's size: a catalogue with content, and a log to train on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mgrec.configs import IdsConfig, QuantiserConfig
from mgrec.data.features import Codes, Embeddings
from mgrec.data.sequences import Sequences
from mgrec.ids.quantiser import fit_quantiser
from mgrec.ids.semantic_ids import SemanticIds, build

WIDTHS = {"text": 384, "image": 1280}  # of the packaged encoders' embeddings
LATENT, NOISE = 64, 0.7


@dataclass(frozen=True)
class Shop:
    """What is known of the items and the users.

    Attributes
    ----------
    topic : int64 [items], growing
    after : int64 [items], the item that tends to be taken next, of the same topic
    log : one row a user, item indices, oldest first
    """

    topic: NDArray[np.int64]
    after: NDArray[np.int64]
    log: Sequences

    @property
    def n_items(self) -> int:
        return len(self.topic)


def make_shop(users: int = 22_363, items: int = 12_101, seed: int = 0) -> Shop:
    """Plant a shop; the numbers are those of Amazon Beauty, 5-core.

    A user has a favourite topic. With probability 0.4 the next item is the one that tends to
    follow the last, else it is drawn by popularity, in four of five cases from that topic.
    """
    rng = np.random.default_rng(seed)
    topic = np.sort(rng.zipf(1.3, items) % 300)
    after = _followers(topic, rng)
    weight = (rng.permutation(items) + 10.0) ** -0.7
    upto = np.concatenate([[0], weight.cumsum()])
    lengths = beauty_lengths(users, rng)
    favourite = topic[rng.integers(0, items, users)]
    begin, end = (np.searchsorted(topic, favourite, side) for side in ("left", "right"))
    taken = np.zeros((users, int(lengths.max())), np.int64)
    for step in range(taken.shape[1]):
        loyal = rng.random(users) < 0.8
        low, high = np.where(loyal, upto[begin], 0), np.where(loyal, upto[end], upto[-1])
        at = low + rng.random(users) * (high - low)
        drawn = (np.searchsorted(upto, at, "right") - 1).clip(0, items - 1)
        follows = (rng.random(users) < 0.4) & (step > 0)
        taken[:, step] = np.where(follows, after[taken[:, step - 1]], drawn)
    rows = [row[:n] for row, n in zip(taken, lengths, strict=True)]
    return Shop(topic, after, Sequences.of(rows))


def beauty_lengths(users: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw histories' lengths: at least 5, on average 8.9, with a heavy tail up to 204."""
    shape = 0.7
    drawn = 5 + rng.negative_binomial(shape, shape / (shape + 3.9), users)
    return np.minimum(drawn, 204)


def embeddings_of(shop: Shop, modality: str) -> Embeddings:
    """Return vectors that tell an item's topic, as wide as the packaged encoder's."""
    rng = np.random.default_rng([shop.n_items, WIDTHS[modality]])
    latent = rng.normal(size=(300, LATENT))[shop.topic]
    latent += NOISE * rng.normal(size=latent.shape)
    vectors = latent @ rng.normal(size=(LATENT, WIDTHS[modality])) * LATENT**-0.5
    return Embeddings(vectors.astype(np.float32), np.ones(shop.n_items, bool))


def ids_of(shop: Shop, levels: dict[str, int], seed: int = 0) -> SemanticIds:
    """Quantise and lay out: the blocks in the order named, then a disambiguation code.

    Quantised, not drawn: how many codes it takes to name an item decides what training costs
    under the legal softmax, and random codes name one after two.
    """
    codes = {name: _codes(embeddings_of(shop, name), name, n, seed) for name, n in levels.items()}
    fusion = "unimodal" if len(levels) == 1 else "late"
    return build(codes, IdsConfig(fusion=fusion, modalities=tuple(levels)))


def _codes(embeddings: Embeddings, modality: str, levels: int, seed: int) -> Codes:
    config = QuantiserConfig(levels=levels, size=256, iterations=5)
    return fit_quantiser(embeddings, config, modality, seed).encode(embeddings)


def _followers(topic: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Return each item's follower: a shuffled ring within every topic."""
    items = np.arange(len(topic))
    ring = items[np.lexsort([rng.random(len(topic)), topic])]
    begins = np.concatenate([[True], topic[1:] != topic[:-1]])
    first = np.maximum.accumulate(np.where(begins, items, 0))
    last = np.append(begins[1:], True)
    after = np.empty(len(topic), np.int64)
    after[ring] = ring[np.where(last, first, np.minimum(items + 1, len(topic) - 1))]
    return after
