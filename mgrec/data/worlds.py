"""The planted world: a shop whose customers' tastes are known, to judge a recommender by.

Every item has a *topic*, which only its description tells, and a *look*, which only its picture
tells; a *cell* is all items of one topic and one look. Every user has a favourite topic and a
favourite look, drawn independently. The rule by which a user takes the next item:

1. With probability ``repurchase`` (0 by default, and never first), one of the user's earlier
   interactions, each as likely as the other, is repeated.
2. Otherwise an item new to the user: with probability ``loyalty`` from the user's cell, else from
   the whole catalogue, in proportion to popularity among what the user has not taken yet. Once a
   cell is used up, the whole catalogue takes its place.

Popularity falls steeply within a cell and every cell is as popular as any other, so that users
of a cell take much the same items first, and what they take last hardly anybody else has taken:
what such an item is must be read off its text *and* its picture. `mgrec.data.bayes` knows the
rule and says how far one can get.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mgrec.data.dataset import Dataset
from mgrec.data.descriptions import TOPICS, describe, entitle
from mgrec.data.drawings import LOOKS, draw
from mgrec.data.features import Embeddings
from mgrec.data.sequences import Sequences
from mgrec.errors import RequestError
from mgrec.files import check_file
from mgrec.folders import new_file, storing
from mgrec.progress import bar

if TYPE_CHECKING:
    from PIL.Image import Image

_DAY = 86_400
_OPENING = 1_704_067_200  # 2024-01-01, when the shop opens
# One stream of random numbers each, so that a change of one part leaves the others as they were.
_ITEMS, _TEXTS, _PICTURES, _USERS, _LOG, _TIMES, _VECTORS = range(7)


@dataclass(frozen=True, eq=False)
class World:
    """A catalogue, a log, and the truth behind them.

    Attributes
    ----------
    seed : int
    topics, looks : int
        How many there are of each.
    loyalty, repurchase : float
        The rule's probabilities (see the module).
    items : polars.DataFrame
        Row = item index: ``item_id, title, text, image, price, season``; ``text`` or ``image`` is
        null for a few. Only text and image tell anything about taste.
    topic, look : int64 [items]
    popularity : float64 [items]
        Sums to 1 within each cell.
    taste : int64 [users]
        Each user's favourite cell.
    log : Sequences
        Row = user; item indices, oldest first.
    times : int64 [interactions]
        Unix seconds beside ``log.items``, growing within a user.
    """

    seed: int
    topics: int
    looks: int
    loyalty: float
    repurchase: float
    items: pl.DataFrame
    topic: NDArray[np.int64]
    look: NDArray[np.int64]
    popularity: NDArray[np.float64]
    taste: NDArray[np.int64]
    log: Sequences
    times: NDArray[np.int64]

    @property
    def n_items(self) -> int:
        return len(self.topic)

    @property
    def n_users(self) -> int:
        return len(self.taste)

    @property
    def cells(self) -> int:
        return self.topics * self.looks

    @property
    def cell(self) -> NDArray[np.int64]:
        """int64 [items]: topic and look in one number, ``topic * looks + look``."""
        return self.topic * self.looks + self.look

    @property
    def favourite_topic(self) -> NDArray[np.int64]:
        """int64 [users]"""
        return self.taste // self.looks

    @property
    def favourite_look(self) -> NDArray[np.int64]:
        """int64 [users]"""
        return self.taste % self.looks

    @property
    def interactions(self) -> pl.DataFrame:
        """``user_id, item_id, timestamp``: user by user, oldest first."""
        names = pl.Series("user_id", _names("u", self.n_users))
        return pl.DataFrame(
            {
                "user_id": names.gather(np.repeat(np.arange(self.n_users), self.log.lengths)),
                "item_id": self.items["item_id"].gather(self.log.items),
                "timestamp": self.times,
            }
        )

    def visible(self, modality: str) -> NDArray[np.bool_]:
        """Return bool [items]: which have a "text", or an "image"."""
        return self.items[modality].is_not_null().to_numpy()

    def picture(self, item: int) -> Image:
        """Draw an item's picture, also that of an item which has none in the catalogue."""
        return draw(LOOKS[self.look[item]], np.random.default_rng([self.seed, _PICTURES, item]))

    def write(self, folder: str | Path) -> Path:
        """Write ``items.jsonl``, ``interactions.csv`` and ``images/*.jpg`` for `Dataset.read`.

        Raises
        ------
        MissingExtra
            If Pillow is not installed.
        """
        root = Path(folder)
        with storing(root):
            (root / "images").mkdir(parents=True, exist_ok=True)
        drawn = np.flatnonzero(self.visible("image"))
        with bar("drawing pictures", len(drawn), "pictures") as progress:
            for item in drawn:
                file = root / self.items["image"][int(item)]
                check_file(file)
                with storing(file):
                    self.picture(int(item)).save(file, quality=90)
                progress.advance()
        with new_file(root / "items.jsonl") as draft:
            self.items.write_ndjson(draft)
        with new_file(root / "interactions.csv") as draft:
            self.interactions.write_csv(draft)
        return root

    def embedded(self, dim: int = 32, noise: float = 0.5) -> Dataset:
        """Return the world with ready-made embeddings, for work without encoders or pictures.

        A vector is the direction of its topic (text) or look (image), of length 1, plus normal
        noise of about the length ``noise``.
        """
        rng = np.random.default_rng([self.seed, _VECTORS])
        embeddings = {
            modality: _embed(rng, kind, self.visible(modality), dim, noise)
            for modality, kind in (("text", self.topic), ("image", self.look))
        }
        bare = self.items.drop("text", "image")
        return Dataset.from_frames(bare, self.interactions, embeddings=embeddings)


def make_world(
    seed: int = 0,
    *,
    items: int = 1000,
    users: int = 1000,
    topics: int = 10,
    looks: int = 10,
    history: tuple[int, int] = (6, 7),
    loyalty: float = 0.85,
    skew: float = 3.0,
    repurchase: float = 0.0,
    missing_text: float = 0.03,
    missing_image: float = 0.03,
) -> World:
    """Plant a world; the same arguments give the same one, to the byte.

    Parameters
    ----------
    seed : int
    items, users : int
    topics, looks : int
        At most 12 each; items are spread evenly over the ``topics * looks`` cells.
    history : (int, int)
        Shortest and longest history; all lengths between are equally likely.
    loyalty, repurchase : float
        See the module; ``0 <= loyalty < 1``, ``0 <= repurchase < 1``.
    skew : float
        An item's popularity is ``rank ** -skew`` within its cell, give or take a tenth.
    missing_text, missing_image : float
        Shares of items without the one or the other; none lacks both.

    Raises
    ------
    RequestError
        If a number does not fit.
    """
    _check(
        items=(items, topics * looks, np.inf),
        users=(users, 1, np.inf),
        topics=(topics, 1, len(TOPICS)),
        looks=(looks, 1, len(LOOKS)),
        shortest_history=(history[0], 1, history[1]),
        longest_history=(history[1], history[0], items - 1),
        loyalty=(loyalty, 0, 1 - 1e-9),
        repurchase=(repurchase, 0, 1 - 1e-9),
        missing_text=(missing_text, 0, 1),
        missing_image=(missing_image, 0, 1 - missing_text),
    )
    rng = np.random.default_rng([seed, _ITEMS])
    cell = rng.permutation(np.arange(items) % (topics * looks))
    popularity = _popularity(rng, cell, skew)
    frame = _catalogue(seed, rng, cell // looks, missing_text, missing_image)
    rng = np.random.default_rng([seed, _USERS])
    taste = rng.integers(topics, size=users) * looks + rng.integers(looks, size=users)
    lengths = rng.integers(history[0], history[1] + 1, size=users)
    rng = np.random.default_rng([seed, _LOG])
    log = _histories(rng, cell, popularity, taste, lengths, loyalty, repurchase)
    return World(
        seed=seed,
        topics=topics,
        looks=looks,
        loyalty=loyalty,
        repurchase=repurchase,
        items=frame,
        topic=cell // looks,
        look=cell % looks,
        popularity=popularity,
        taste=taste,
        log=log,
        times=_times(np.random.default_rng([seed, _TIMES]), log),
    )


def _check(**numbers: tuple[float, float, float]) -> None:
    """Refuse a number outside its bounds: name=(number, least, most)."""
    for name, (found, least, most) in numbers.items():
        if not least <= found <= most:
            expected = f"at least {least:g}" + ("" if np.isinf(most) else f", at most {most:g}")
            raise RequestError(f"world: {name}: found {found:g}, expected {expected}")


def _names(letter: str, n: int) -> list[str]:
    width = len(str(n - 1))
    return [f"{letter}{i:0{width}d}" for i in range(n)]


def _popularity(
    rng: np.random.Generator, cell: NDArray[np.int64], skew: float
) -> NDArray[np.float64]:
    """Draw float64 [items]: powers of the rank, in random order, that sum to 1 in every cell."""
    shuffled = rng.permutation(len(cell))
    by_cell = shuffled[np.argsort(cell[shuffled], kind="stable")]
    sizes = np.bincount(cell)
    first = np.repeat(np.cumsum(sizes) - sizes, sizes)
    weight = np.empty(len(cell))
    weight[by_cell] = (np.arange(len(cell)) - first + 1.0) ** -skew
    # A little noise, so that no two items are equally popular and rankings have no ties.
    weight *= rng.uniform(0.9, 1.1, len(cell))
    popularity: NDArray[np.float64] = weight / np.bincount(cell, weight)[cell]
    return popularity


def _catalogue(
    seed: int,
    rng: np.random.Generator,
    topic: NDArray[np.int64],
    missing_text: float,
    missing_image: float,
) -> pl.DataFrame:
    """Write the items' rows; prices and seasons have nothing to do with anybody's taste."""
    n = len(topic)
    ids = _names("i", n)
    order = rng.permutation(n)
    textless = set(order[: round(n * missing_text)].tolist())
    pictureless = set(order[::-1][: round(n * missing_image)].tolist())
    prices = np.exp(rng.normal(3, 0.6, n)).round() + 0.9
    seasons = rng.choice(["spring", "summer", "autumn", "winter"], n)
    streams = [np.random.default_rng([seed, _TEXTS, i]) for i in range(n)]
    texts = [describe(TOPICS[t], stream) for t, stream in zip(topic, streams, strict=True)]
    return pl.DataFrame(
        {
            "item_id": ids,
            "title": [entitle(stream) for stream in streams],
            "text": [None if i in textless else text for i, text in enumerate(texts)],
            "image": [None if i in pictureless else f"images/{id}.jpg" for i, id in enumerate(ids)],
            "price": prices,
            "season": seasons.tolist(),
        },
        schema_overrides={"text": pl.String, "image": pl.String},
    )


def _histories(
    rng: np.random.Generator,
    cell: NDArray[np.int64],
    popularity: NDArray[np.float64],
    taste: NDArray[np.int64],
    lengths: NDArray[np.int64],
    loyalty: float,
    repurchase: float,
) -> Sequences:
    """Let every user take ``lengths[u]`` items by the rule, all users side by side."""
    users = np.arange(len(taste))
    taken = np.zeros((len(users), int(lengths.max())), np.int64)
    left = np.tile(popularity, (len(users), 1))  # [users, items]; 0 once taken
    for step in range(taken.shape[1]):
        now = users[lengths > step]
        in_cell = left[now] * (cell == taste[now, None])
        loyal = (rng.random(len(now)) < loyalty) & (in_cell.sum(1) > 0)
        item = _drawn(rng, np.where(loyal[:, None], in_cell, left[now]))
        if step:
            earlier = taken[now, rng.integers(step, size=len(now))]
            item = np.where(rng.random(len(now)) < repurchase, earlier, item)
        taken[now, step] = item
        left[now, item] = 0
    return Sequences.of([row[:n] for row, n in zip(taken, lengths, strict=True)])


def _drawn(rng: np.random.Generator, weights: NDArray[np.float64]) -> NDArray[np.int64]:
    """Draw a column of each row in proportion to its weight; [rows, columns] -> int64 [rows]."""
    upto = weights.cumsum(1)
    at = rng.random(len(weights)) * upto[:, -1]
    # The first column whose sum lies above: its own weight is above zero.
    column: NDArray[np.int64] = (upto > at[:, None]).argmax(1)
    return column


def _times(rng: np.random.Generator, log: Sequences) -> NDArray[np.int64]:
    """Let every user begin on some day of the first year and come back every few days."""
    begin = rng.uniform(0, 300 * _DAY, len(log))
    gaps = 60 + rng.exponential(4 * _DAY, len(log.items))
    passed = gaps.cumsum()
    since = passed - np.repeat(passed[log.offsets[:-1]], log.lengths)
    moments: NDArray[np.int64] = (_OPENING + np.repeat(begin, log.lengths) + since).astype(np.int64)
    return moments


def _embed(
    rng: np.random.Generator,
    kind: NDArray[np.int64],
    present: NDArray[np.bool_],
    dim: int,
    noise: float,
) -> Embeddings:
    """Return each item's kind as a direction of its own, blurred; zero where not present."""
    directions = rng.normal(size=(int(kind.max()) + 1, dim))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    blur = rng.normal(0, noise / np.sqrt(dim), (len(kind), dim))
    vectors = (directions[kind] + blur) * present[:, None]
    return Embeddings(vectors.astype(np.float32), present)
