"""A space that modalities have in common: alignment in the quantiser's input."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mgrec.data.blocks import take
from mgrec.data.features import Embeddings
from mgrec.errors import DataError
from mgrec.ids.standardise import SAMPLE, Standardiser

# Added to each view's covariance, as a part of its mean variance: with as many dimensions as
# encoders have and few thousand items, directions that agree by chance would pass for shared.
RIDGE = 0.1


def common_space(
    vectors: Mapping[str, Embeddings], dims: int, *, seed: int = 0
) -> dict[str, Standardiser]:
    """Return for each modality the projection towards what it shares with the others.

    Generalised canonical correlation analysis (MAXVAR: Kettenring, Biometrika 58, 1971), which for
    two modalities is CCA: each view is whitened, and the leading principal axes of all whitened
    views side by side are kept. Each axis is scaled by how much the modalities agree along it (for
    two: their correlation), so that a quantiser spends its codes on what they share most.

    Parameters
    ----------
    vectors : by modality, standardised; at least two
    dims : of the space, at most; no more than any modality has, nor than agree at all
    seed : of the draw of items, where there are more than 100,000

    Raises
    ------
    DataError
        If there are not two modalities, or no two items have all of them.
    """
    if len(vectors) < 2:
        found = ", ".join(vectors) or "none"
        raise DataError(
            f"quantiser.common: expected embeddings of at least two modalities, found {found}"
        )
    have_all = np.logical_and.reduce([e.present for e in vectors.values()])
    rows = np.random.default_rng(seed).permutation(np.flatnonzero(have_all))[:SAMPLE]
    if len(rows) < 2:
        raise DataError(
            f"quantiser.common: found {len(rows)} items that have all of {', '.join(vectors)},"
            " expected at least two"
        )
    views = {name: take(e.vectors, np.sort(rows)).astype(np.float64) for name, e in vectors.items()}
    centres = {name: view.mean(0) for name, view in views.items()}
    whiteners = {name: _whitener(view - centres[name]) for name, view in views.items()}
    white = np.concatenate(
        [(view - centres[name]) @ whiteners[name] for name, view in views.items()], axis=1
    )
    strength, axes = np.linalg.eigh(white.T @ white / len(rows))
    kept = min(dims, *(e.dim for e in vectors.values()))
    # Of k whitened views an axis has the strength 1 where they do not agree, k where they are one.
    shared = (strength[::-1][:kept] - 1) / (len(vectors) - 1)
    axes = axes[:, ::-1][:, :kept][:, shared > 0] * shared[shared > 0]
    if not axes.shape[1]:
        raise DataError(f"quantiser.common: {', '.join(vectors)} have nothing in common")
    places = np.cumsum([0, *(e.dim for e in vectors.values())])
    return {
        name: _projection(views[name], centres[name], whiteners[name] @ axes[first:last])
        for name, first, last in zip(views, places[:-1], places[1:], strict=True)
    }


def _whitener(centred: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return [dim, dim], after which the ridged covariance is the identity."""
    covariance = centred.T @ centred / len(centred)
    mean = np.trace(covariance) / len(covariance)
    values, axes = np.linalg.eigh(covariance + RIDGE * (mean or 1.0) * np.eye(len(covariance)))
    return axes / np.sqrt(values)


def _projection(
    view: NDArray[np.float64], mean: NDArray[np.float64], axes: NDArray[np.float64]
) -> Standardiser:
    """Return a projection whose coordinates have a root mean square of one."""
    scale = float(np.sqrt(np.square((view - mean) @ axes).mean())) or 1.0
    return Standardiser(mean.astype(np.float32), np.ascontiguousarray(axes, np.float32), scale)
