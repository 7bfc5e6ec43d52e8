"""Codebook health: how much of its codebooks a modality uses, in figures and in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mgrec.data.features import Codes

# With fewer items a code than this, an uneven codebook is what so few items make of it.
ENOUGH = 4
# Below this share of codes in use, or of perplexity over codes, a level is unhealthy.
UNUSED, UNEVEN = 0.5, 0.3
# Above this share of items that are told apart by no level, the whole block is.
SHARED = 0.5


@dataclass(frozen=True)
class LevelHealth:
    """One codebook.

    Attributes
    ----------
    level : from 1
    size, used : codes there are, codes some item has
    perplexity : how many equally frequent codes would be as uncertain
    largest : share of the items that have the most frequent code
    items : that have the modality
    vectors : number of distinct vectors, or None if unknown
    """

    modality: str
    level: int
    size: int
    used: int
    perplexity: float
    largest: float
    items: int
    vectors: int | None = None

    @property
    def dead(self) -> int:
        """Return how many codes no item has."""
        return self.size - self.used

    @property
    def healthy(self) -> bool:
        """Whether codes are in use, and evenly, wherever there are four items or more a code."""
        if self.items < ENOUGH * self.size:
            return True
        return self.used >= UNUSED * self.size and self.perplexity >= UNEVEN * self.size

    def in_words(self) -> str:
        """Say how the level does, and where it does badly what that means and what to try."""
        line = (
            f"{self.modality} level {self.level} uses {self.used:,} of {self.size:,} codes"
            f" (perplexity {self.perplexity:.1f})"
        )
        if self.items < self.size:
            return f"{line}: only {self.items:,} items have {self.modality}"
        if self.healthy:
            return line
        if self.vectors is not None and self.vectors < self.size:
            return f"{line}: only {self.vectors:,} distinct vectors among {self.items:,} items"
        if self.vectors is None:
            return f"{line}: {self.largest:.0%} of items share one code of the ready-made codes"
        if self.used < UNUSED * self.size:
            meaning = "most codes say nothing, since too few vectors differ at this level"
            hint = "try fewer levels, a smaller size, or check the embeddings for duplicates"
        else:
            meaning = (
                f"{self.largest:.0%} of items share one code, so that it hardly tells them apart"
            )
            hint = "try a smaller size, or pca to drop what is noise"
        return f"{line}: {meaning}; {hint}"


@dataclass(frozen=True)
class Health:
    """All codebooks of a modality, and how well its code tuples tell items apart.

    Attributes
    ----------
    items, missing : that have the modality, and that lack it
    distinct : different code tuples
    largest_group : most items that share one tuple
    colliding : items that share their tuple with another
    vectors : number of distinct vectors, or None if unknown
    """

    modality: str
    levels: tuple[LevelHealth, ...]
    items: int
    missing: int
    distinct: int
    largest_group: int
    colliding: int
    vectors: int | None = None

    @property
    def healthy(self) -> bool:
        """Whether at least half of the items have a tuple of their own."""
        return self.colliding <= SHARED * self.items

    def in_words(self) -> list[str]:
        """Return a sentence a level, then one on the whole block."""
        whole = f"{self.modality}: {self.distinct:,} different codes for {self.items:,} items"
        if self.colliding:
            whole += f", {self.colliding:,} share theirs, at most {self.largest_group:,} the same"
        if self.missing:
            whole += f"; {self.missing:,} items have no {self.modality}"
        if self.vectors is not None and self.vectors < SHARED * self.items:
            whole += (
                f"; so are their vectors ({self.vectors:,} distinct ones): the content or its"
                " encoder does not distinguish them"
            )
        elif not self.healthy:
            whole += "; most are told apart by the disambiguation code alone: try another level"
        return [*(level.in_words() for level in self.levels), whole]

    def to_dict(self) -> dict[str, Any]:
        """Return everything for JSON."""
        levels = [
            {**vars(level), "dead": level.dead, "healthy": level.healthy} for level in self.levels
        ]
        return {**vars(self), "levels": levels, "words": self.in_words()}


def health(codes: Codes, modality: str, vectors: int | None = None) -> Health:
    """Measure the codebooks of one block over the items that have it.

    Parameters
    ----------
    vectors : number of distinct vectors, or None if unknown
    """
    rows = codes.codes[codes.present]
    groups = np.unique(rows, axis=0, return_counts=True)[1]
    return Health(
        modality=modality,
        levels=tuple(
            _level(rows[:, level], size, modality, level + 1, vectors)
            for level, size in enumerate(codes.sizes)
        ),
        items=len(rows),
        missing=int((~codes.present).sum()),
        distinct=len(groups),
        largest_group=int(groups.max(initial=0)),
        colliding=int(groups[groups > 1].sum()),
        vectors=vectors,
    )


def _level(
    codes: NDArray[np.int32], size: int, modality: str, level: int, vectors: int | None
) -> LevelHealth:
    """Measure one level from its items' codes [items]."""
    counts = np.bincount(codes, minlength=size)
    share = counts[counts > 0] / max(1, len(codes))
    return LevelHealth(
        modality=modality,
        level=level,
        size=size,
        used=len(share),
        # exp of the entropy; a level that nobody uses has none
        perplexity=float(np.exp(-(share * np.log(share)).sum())) if len(share) else 0.0,
        largest=float(share.max(initial=0)),
        items=len(codes),
        vectors=vectors,
    )
