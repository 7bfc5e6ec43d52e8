"""Similar items: the nearest to one by text, by image, or by all that is known of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mgrec.answering import named
from mgrec.answers import Recommendations
from mgrec.catalogue import Catalogue
from mgrec.data.blocks import blocks, take
from mgrec.data.features import Codes, Embeddings
from mgrec.errors import RequestError, nearest
from mgrec.requests import ItemId, check_number, check_text, checked_id

if TYPE_CHECKING:
    from mgrec.recommender import Recommender


def similar(
    recommender: Recommender, item: ItemId, k: int, by: str | None, where: str | None
) -> Recommendations:
    """Return the items most like one, in one modality or in the mean of all that it has.

    By one modality the score is the cosine of the standardised embeddings; where only codes are
    known, the share of the levels on whose codes both begin, and items that share none are left
    out. By several, each modality's scores are standardised over the catalogue and their mean is
    taken, in which a modality that an item lacks counts as average. Equals stand by popularity.

    Raises
    ------
    RequestError
        If k, the item, the modality or the condition does not fit, or the item lacks the modality.
    """
    item, k = checked_id("similar", item), check_number("k", k)
    by, where = check_text("by", by), check_text("where", where)
    catalogue = recommender.catalogue
    row = int(catalogue.index_of([item])[0])
    if row < 0:
        raise RequestError(f"similar: item {item!r} is not in the catalogue")
    names = _modalities(catalogue, row, item, by)
    sides = [closeness(catalogue, name, row) for name in names]
    if len(sides) == 1:
        score, keep = sides[0], np.isfinite(sides[0])
    else:
        score = np.mean([_standardised(side) for side in sides], axis=0)
        keep = np.logical_or.reduce([np.isfinite(side) for side in sides])
    keep &= catalogue.listed if where is None else recommender.select(where).keep
    keep[row] = False
    rows = np.flatnonzero(keep)
    rows = rows[np.lexsort((-recommender.popularity.logs[rows], -score[rows]))][:k]
    reason = f"similar by {' and '.join(names)}"
    found = named(catalogue, rows, score[rows].astype(np.float32))
    return Recommendations(found, 1, reason)


def closeness(catalogue: Catalogue, modality: str, row: int) -> NDArray[np.float64]:
    """Return float64 [items]: how close each item is to one, -inf where that cannot be said."""
    if modality in catalogue.vectors:
        return _cosines(catalogue.vectors[modality], row)
    return _shared(catalogue.codes[modality], row)


def _cosines(embeddings: Embeddings, row: int) -> NDArray[np.float64]:
    found = np.full(len(embeddings.present), -np.inf)
    own = _unit(take(embeddings.vectors, np.array([row])))[0]
    for rows, block in blocks(embeddings.vectors, np.flatnonzero(embeddings.present)):
        found[rows] = _unit(block) @ own
    return found


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale rows to length 1; a row of zeros stays."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.maximum(length, np.finfo(np.float32).tiny)


def _shared(codes: Codes, row: int) -> NDArray[np.float64]:
    """Return the share of the levels that stand before the first different code."""
    same = np.logical_and.accumulate(codes.codes == codes.codes[row], axis=1).sum(1)
    return np.where(codes.present & (same > 0), same / codes.levels, -np.inf)


def _standardised(side: NDArray[np.float64]) -> NDArray[np.float64]:
    """Centre and scale what can be said; what cannot is average."""
    known = np.isfinite(side)
    spread = side[known].std() or 1.0
    return np.where(known, (side - side[known].mean()) / spread, 0.0)


def _modalities(catalogue: Catalogue, row: int, item: ItemId, by: str | None) -> list[str]:
    """Return what an item is compared by: the modality asked for, or all that it has."""
    present = catalogue.present()
    if by is None:
        names = [name for name, has in present.items() if has[row]]
        if not names:
            raise RequestError(
                f"similar: item {item!r} has no {' and no '.join(present)}, expected at least one"
            )
        return names
    if by not in present:
        known = list(present)
        hint = nearest(by, known) or f" Expected one of {', '.join(known)}."
        raise RequestError(f"similar: unknown modality {by!r}.{hint}")
    if not present[by][row]:
        raise RequestError(f"similar: item {item!r} has no {by}, expected one to compare by")
    return [by]
