"""An explanation: the parts that an item's score is made of, from every side that it has."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from mgrec.printable import inline
from mgrec.requests import ItemId

NAMED = 3  # past items that a sentence names


@dataclass(frozen=True)
class Past:
    """One item of the history.

    Attributes
    ----------
    item_id, title : the item
    moved : its share of ``score - base`` (Shapley value)
    alone : by how much the score is higher than it would be without this item only
    """

    item_id: ItemId
    title: str
    moved: float
    alone: float


@dataclass(frozen=True)
class Modality:
    """What one modality of the history's items moved; those of all add up to ``score - base``.

    Attributes
    ----------
    name : a modality, or `REST`: what is left with every one hidden, behind others' content
    moved : its share (Shapley value)
    """

    name: str
    moved: float


@dataclass(frozen=True)
class Level:
    """One code of the item's semantic ID; the `log_prob` of all add up to `generated`.

    Attributes
    ----------
    code : as people write it, such as ``text1:12``
    modality : whose code it is; empty for the disambiguation code
    log_prob : of this code after those before it, for this history
    base : the same for anybody: the share of the log that its items have among those before it
    """

    code: str
    modality: str
    log_prob: float
    base: float

    @property
    def moved(self) -> float:
        """How much likelier the history made the code."""
        return self.log_prob - self.base


@dataclass(frozen=True)
class Expert:
    """One expert's word; ``weight * log_prob`` of all and `generated` add up to the score."""

    name: str
    weight: float
    log_prob: float
    base: float

    @property
    def moved(self) -> float:
        """How much the expert moved the score."""
        return self.weight * (self.log_prob - self.base)


REST = "anything else"


@dataclass(frozen=True)
class Explanation:
    """Why an item has the score that it has.

    Attributes
    ----------
    item_id, title : the item
    reason : how the score was found, in words
    score : as `recommend` gives it
    base : what it would be by popularity alone, which is also the score without any history
    generated : the part of the score that is the log-probability of the item's semantic ID
    past : the history's items that the model reads, oldest first; empty where none is known
    older : the share of the items before those, by the repeat score; with `moved` of all `past`
        it adds up to ``score - base``
    modalities : of those items
    levels : of the semantic ID, in the order of generation; of an item that was added after
        training and is scored by its content, that one part
    experts : where the recipe has any
    """

    item_id: ItemId
    title: str
    reason: str
    score: float
    base: float
    generated: float
    past: tuple[Past, ...] = ()
    modalities: tuple[Modality, ...] = ()
    levels: tuple[Level, ...] = ()
    experts: tuple[Expert, ...] = ()
    older: float = 0.0

    @property
    def moved(self) -> float:
        """How much the history moved the score."""
        return self.score - self.base

    def words(self) -> list[str]:
        """Say it in a few sentences; numbers are differences of log-probabilities."""
        name = called(self.item_id, self.title)
        if not self.past:
            return [f"{name} scores {self.score:.2f} by its popularity alone: {self.reason}."]
        way = "up" if self.moved >= 0 else "down"
        said = [
            f"{name} scores {self.score:.2f}; popularity alone would give {self.base:.2f}:"
            f" the history moved it {way} by {abs(self.moved):.2f}."
        ]
        ranked = sorted(self.past, key=lambda past: -abs(past.moved))[:NAMED]
        if helped := [_part(past) for past in ranked if past.moved > 0]:
            said.append(f"What counted most for it: {_listed(helped)}.")
        if against := [_part(past) for past in ranked if past.moved < 0]:
            said.append(f"What counted most against it: {_listed(against)}.")
        if self.older:
            said.append(f"Items before those that the model reads: {self.older:+.2f}.")
        parts = [f"{part.name} ({part.moved:+.2f})" for part in self.modalities]
        said.append(f"By what the model reads of these items: {_listed(parts)}.")
        codes = [f"{level.code} ({level.moved:+.2f})" for level in self.levels if level.moved]
        if codes:
            said.append(f"Its codes, beside their share of the log: {_listed(codes)}.")
        if self.experts:
            parts = [f"{expert.name} ({expert.moved:+.2f})" for expert in self.experts]
            said.append(f"Experts moved it too: {_listed(parts)}.")
        return said

    def to_dict(self) -> dict[str, Any]:
        """Return everything for JSON, the sentences too."""
        found = asdict(self)
        for name in ("levels", "experts"):
            for entry, part in zip(found[name], getattr(self, name), strict=True):
                entry["moved"] = part.moved
        return found | {"moved": self.moved, "words": self.words()}

    def picture(self) -> str:
        """Draw it as SVG, readable in light and dark, to be put into a page or saved as a file."""
        from mgrec.explain.picture import draw

        return draw(self)


def called(item_id: ItemId, title: str) -> str:
    """Return what a sentence calls an item."""
    return f"'{inline(title)}' ({inline(item_id)})" if title else inline(item_id)


def _part(past: Past) -> str:
    return f"{called(past.item_id, past.title)} ({past.moved:+.2f})"


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
