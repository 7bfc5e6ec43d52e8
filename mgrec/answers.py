"""What a recommender answers: items by their own ids, with scores, and where they came from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload


@dataclass(frozen=True)
class Recommendation:
    """One recommended item.

    Attributes
    ----------
    item_id : int or str
        The catalogue's own id.
    score : float
        Log-probability under the whole catalogue (with experts, a weighted sum of several;
        for popular items, the logarithm of their share of the log).
    """

    item_id: int | str
    score: float


@dataclass(frozen=True)
class Recommendations(Sequence[Recommendation]):
    """Recommended items, best first.

    Attributes
    ----------
    items : tuple of Recommendation
    known : int
        How many items of the history the catalogue knows; with none, popular items are answered.
    reason : str
        In words: how these items were found.
    exact : bool
        Whether it is certain that no other allowed item scores higher. A beam search with filters
        is widened until it is; a plain one keeps to its beams, and says so here.
    """

    items: tuple[Recommendation, ...]
    known: int
    reason: str
    exact: bool = True

    @property
    def generated(self) -> bool:
        """Whether the model answered, and not popularity."""
        return self.known > 0

    @property
    def item_ids(self) -> list[int | str]:
        return [item.item_id for item in self.items]

    def to_dict(self) -> dict[str, Any]:
        """Return everything for JSON."""
        items = [{"item_id": item.item_id, "score": item.score} for item in self.items]
        found = {"reason": self.reason, "generated": self.generated, "exact": self.exact}
        return {"items": items, **found}

    @overload
    def __getitem__(self, place: int) -> Recommendation: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Recommendation]: ...
    def __getitem__(self, place: int | slice) -> Recommendation | Sequence[Recommendation]:
        return self.items[place]

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Recommendation]:
        return iter(self.items)
