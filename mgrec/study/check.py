"""What a log and a catalogue look like before anything is trained: `mgrec check`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mgrec.catalogue import sources
from mgrec.configs import SplitConfig
from mgrec.content.encoders import foreseen
from mgrec.data.blocks import blocks
from mgrec.data.dataset import Dataset
from mgrec.data.splits import Cases, Split, split
from mgrec.errors import DataError, RecipeError
from mgrec.recipe import Recipe
from mgrec.study.forecast import Forecast

_QUANTILES = {"shortest": 0, "10%": 0.1, "25%": 0.25, "median": 0.5, "75%": 0.75, "90%": 0.9}
_QUANTILES |= {"99%": 0.99, "longest": 1}


@dataclass(frozen=True)
class Modality:
    """One modality: what it comes from, and how many items lack it."""

    name: str
    sources: tuple[str, ...]  # all that are there, the most finished first
    missing: int  # items without it, in that first source
    same: int  # items that share their text, picture file, vector or codes with another item


@dataclass(frozen=True)
class Finding:
    """Something that can make results look better, or worse, than they are."""

    name: str
    count: int
    of: int  # how many could have; 0 where it cannot be looked for
    what: str
    why: str  # it matters


@dataclass(frozen=True)
class Check:
    """What was understood of the data.

    Attributes
    ----------
    understood, warnings : tuple of str
        Sentences from reading: columns, formats; what was left out.
    counts : mapping
        Users, items, interactions, cases; rows rejected, by reason.
    events : mapping
        Kind of event -> rows.
    period : (str, str) or None
        First and last moment, ISO 8601 in UTC; None where the log has none.
    modalities : tuple of Modality
    history : mapping
        Quantile -> interactions a user.
    repeats : float
        Share of interactions whose item the user had before.
    popularity : mapping
        Share of interactions that fall on the most popular 1% and 10% of items, and the counts of
        items never taken and of those rare (at most twice) in train.
    split : str
        The kind of split that the cases and findings are of.
    findings : tuple of Finding
        Possible leakage; those that do not occur are there with a count of 0.
    forecast : Forecast or None
        Time and memory of a fit, if requested.
    order : str
        The order of each user's interactions, which decides what is held out.
    """

    understood: tuple[str, ...]
    warnings: tuple[str, ...]
    counts: Mapping[str, int]
    events: Mapping[str, int]
    period: tuple[str, str] | None
    modalities: tuple[Modality, ...]
    history: Mapping[str, int]
    repeats: float
    popularity: Mapping[str, float]
    split: str
    findings: tuple[Finding, ...]
    forecast: Forecast | None = None
    order: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as JSON knows it."""
        return {key: _plain(value) for key, value in asdict(self).items()}


def check(
    data: Dataset,
    config: SplitConfig,
    *,
    forecast: Forecast | None = None,
    content: Sequence[str] = (),
) -> Check:
    """Look a dataset over before training.

    Parameters
    ----------
    data : Dataset
    config : SplitConfig
        The split whose cases are looked at.
    forecast : Forecast, optional
        What a fit will take.
    content : sequence of str
        Warnings about the content to encode; see `content_warnings`.

    Raises
    ------
    DataError
        If the data cannot be split so.
    """
    parts = split(data, config)
    lengths = data.log.lengths
    taken = np.bincount(data.log.items, minlength=data.n_items)
    counts = {
        "users": data.n_users,
        "items": data.n_items,
        "interactions": len(data.log.items),
        "train": len(parts.train.items),
        "validation": len(parts.validation),
        "test": len(parts.test),
        **data.notes.counts,
    }
    return Check(
        understood=data.notes.read,
        warnings=(*data.notes.warnings, *content),
        counts=counts,
        events=data.notes.events,
        period=_period(data.times),
        modalities=tuple(_modality(data, name) for name in data.modalities),
        history={
            name: int(np.quantile(lengths, q, method="lower")) for name, q in _QUANTILES.items()
        },
        repeats=_repeats(data),
        popularity=_popularity(taken, parts),
        split=config.kind,
        findings=_findings(data, parts),
        forecast=forecast,
        order=data.notes.order,
    )


def content_warnings(data: Dataset, recipe: Recipe) -> tuple[str, ...]:
    """Return warnings about the texts and pictures that a recipe would encode.

    Empty for a recipe that does not fit the data.
    """
    try:
        found = sources(data, recipe)
    except (RecipeError, DataError):
        return ()
    encoded = [modality for modality, source in found.items() if source == "encode"]
    return tuple(line for name in encoded for line in foreseen(data, name, recipe.content))


def _period(times: NDArray[np.int64] | None) -> tuple[str, str] | None:
    if times is None:
        return None
    first, last = np.datetime_as_string(np.array([times.min(), times.max()], "datetime64[s]"))
    return str(first).replace("T", " "), str(last).replace("T", " ")


def _modality(data: Dataset, name: str) -> Modality:
    sources = []
    if name in data.codes:
        codes = data.codes[name]
        sources.append(("codes", codes.present, _sharing(codes.codes[codes.present])))
    if name in data.embeddings:
        vectors = data.embeddings[name]
        rows = blocks(vectors.vectors, np.flatnonzero(vectors.present))
        same = _sharing(row for _, block in rows for row in block)
        sources.append(("embeddings", vectors.present, same))
    raw = _raw(data, name)
    if raw is not None and raw.count():
        label = "words" if name == "text" else "picture files"
        sources.append((label, raw.is_not_null().to_numpy(), _doubles(raw)))
    _, present, same = sources[0]
    return Modality(name, tuple(s[0] for s in sources), int((~present).sum()), same)


def _raw(data: Dataset, name: str) -> pl.Series | None:
    """Return what would be encoded: texts, or paths of pictures."""
    if name == "text":
        return pl.Series(data.texts(), dtype=pl.String)
    return data.items["image"] if name == "image" and "image" in data.items else None


def _doubles(values: pl.Series) -> int:
    """Count the values that are not null and occur more than once."""
    return int(values.drop_nulls().is_duplicated().sum())


def _sharing(rows: Iterable[NDArray[Any]]) -> int:
    """Count the rows that equal another row."""
    return _doubles(pl.Series([hash(row.tobytes()) for row in rows], dtype=pl.Int64))


def _repeats(data: Dataset) -> float:
    """Return the share of interactions whose item the user had before."""
    user = np.repeat(np.arange(data.n_users), data.log.lengths)
    different = pl.Series(user * data.n_items + data.log.items).n_unique()
    return 1 - different / len(data.log.items)


def _popularity(taken: NDArray[np.integer], parts: Split) -> dict[str, float]:
    ranked = np.sort(taken)[::-1]
    in_train = np.bincount(parts.train.items, minlength=len(taken))

    def top(share: float) -> float:
        return float(ranked[: max(1, round(len(ranked) * share))].sum() / ranked.sum())

    return {
        "top_1_percent": top(0.01),
        "top_10_percent": top(0.1),
        "never": int((taken == 0).sum()),
        "rare_in_train": int((in_train <= 2).sum()),
    }


def _findings(data: Dataset, parts: Split) -> tuple[Finding, ...]:
    test, log = parts.test, data.log
    in_train = np.bincount(parts.train.items, minlength=data.n_items)
    described = _raw(data, "text")
    tested = np.flatnonzero(log.lengths >= 2)
    tied = 0
    if data.times is not None:
        last = log.offsets[tested + 1] - 1
        tied = int((data.times[last] == data.times[last - 1]).sum())
    return (
        Finding(
            "target_in_history",
            _answered(test),
            len(test),
            "test targets that are in the user's own history",
            "listing what a user already has is rewarded, leaving it out is punished",
        ),
        Finding(
            "cold_targets",
            int((in_train[test.targets] == 0).sum()),
            len(test),
            "test targets that are never in train",
            "only their content can retrieve them",
        ),
        Finding(
            "tied_last_two",
            tied,
            0 if data.times is None else len(tested),
            "users whose last two items have the same moment",
            "the order of the file decides which one is the test",
        ),
        Finding(
            "same_sequences",
            _same_sequences(data),
            data.n_users,
            "users with a sequence of three or more that another user has too",
            "one may be trained on while the other is tested on",
        ),
        Finding(
            "same_texts",
            0 if described is None else _doubles(described),
            0 if described is None else described.count(),
            "items with a text that another item has too",
            "a text model cannot tell them apart",
        ),
    )


def _answered(cases: Cases) -> int:
    """Count the cases whose target is in their history."""
    lengths = cases.history.lengths
    found = cases.history.items == np.repeat(cases.targets, lengths)
    return len(np.unique(np.repeat(np.arange(len(cases)), lengths)[found]))


def _same_sequences(data: Dataset) -> int:
    """Count users of three or more interactions whose whole sequence another user has too.

    Sequences are compared by their length and a 64-bit hash, the sum of a random number for each
    (item, position): exact enough for a count.
    """
    log = data.log
    long = log.lengths >= 3
    if not long.any():
        return 0
    random = np.random.default_rng(0)
    of_item, of_position = (
        random.integers(1, 2**63, n, dtype=np.uint64) | np.uint64(1)
        for n in (data.n_items, int(log.lengths.max()))
    )
    position = np.arange(len(log.items)) - np.repeat(log.offsets[:-1], log.lengths)
    mixed = of_item[log.items] * of_position[position]  # wraps around, as a hash may
    hashes = np.add.reduceat(mixed, log.offsets[:-1])
    keys = pl.DataFrame({"hash": hashes[long], "length": log.lengths[long]})
    return int(keys.is_duplicated().sum())


def _plain(value: Any) -> Any:
    """Turn numpy's numbers and tuples into JSON's."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value.item() if isinstance(value, np.generic) else value
