"""Modality dominance in the codes: which modality fused codes follow, level by level.

Table 1 of arXiv 2503.23333: the adjusted mutual information of the codes of early fusion with
those of each modality alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mgrec.data.features import Codes
from mgrec.measure.information import adjusted_mutual_information, prefixes

MOST = 50_000  # items compared; the exact expectation's cost grows with their number


@dataclass(frozen=True)
class LevelAgreement:
    """How far one level of fused codes agrees with the same level of each modality's own.

    Attributes
    ----------
    level : from 1
    own : modality -> agreement of the codes of this level by themselves
    upto : modality -> agreement of all codes up to this level, the items' prefixes
    """

    level: int
    own: Mapping[str, float]
    upto: Mapping[str, float]


@dataclass(frozen=True)
class Dominance:
    """Agreement of fused codes with each modality's, and with what else is worth knowing.

    Attributes
    ----------
    items : that have every modality, and so were compared
    levels : one a level that all have
    between : agreement of the modalities' own first codes with each other
    """

    items: int
    levels: tuple[LevelAgreement, ...]
    between: float

    @property
    def leader(self) -> str:
        """The modality that the first codes agree with most."""
        first = self.levels[0].own
        return max(first, key=lambda modality: first[modality])


def dominance(fused: Codes, alone: Mapping[str, Codes], seed: int = 0) -> Dominance:
    """Compare fused codes with each modality's own.

    Parameters
    ----------
    fused : of early fusion
    alone : modality -> its codes, at least two
    seed : of the draw of items, where there are more than 50,000
    """
    has = np.logical_and.reduce([fused.present, *(codes.present for codes in alone.values())])
    rows = np.flatnonzero(has)
    if len(rows) > MOST:
        rows = np.sort(np.random.default_rng(seed).permutation(rows)[:MOST])
    ours = fused.codes[rows]
    theirs = {modality: codes.codes[rows] for modality, codes in alone.items()}
    depth = min(fused.levels, *(codes.levels for codes in alone.values()))
    levels = tuple(
        LevelAgreement(
            level + 1,
            {
                modality: adjusted_mutual_information(ours[:, level], codes[:, level])
                for modality, codes in theirs.items()
            },
            {
                modality: adjusted_mutual_information(
                    prefixes(ours, level + 1), prefixes(codes, level + 1)
                )
                for modality, codes in theirs.items()
            },
        )
        for level in range(depth)
    )
    first, second = (codes[:, 0] for codes in list(theirs.values())[:2])
    return Dominance(len(rows), levels, adjusted_mutual_information(first, second))
