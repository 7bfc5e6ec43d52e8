"""What a quantiser is, and the one that a recipe asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mgrec.configs import QuantiserConfig
from mgrec.data.features import Codes, Embeddings
from mgrec.errors import ArtifactError
from mgrec.ids.residual_kmeans import ResidualKMeans


class Quantiser(Protocol):
    """Turns embeddings into codes, level by level, with frozen codebooks."""

    @property
    def sizes(self) -> tuple[int, ...]: ...

    def encode(self, embeddings: Embeddings) -> Codes:
        """Return codes [items, levels]; rows without the modality are zero."""
        ...

    def decode(self, codes: Codes) -> NDArray[np.float32]:
        """Return float32 [items, dim], what the codes stand for."""
        ...

    def state(self) -> dict[str, Any]:
        """Return everything as arrays."""
        ...


def fit_quantiser(
    embeddings: Embeddings, config: QuantiserConfig, modality: str, seed: int
) -> Quantiser:
    """Fit the quantiser of one block.

    Raises
    ------
    MissingExtra
        If RQ-VAE is asked for and its package is not installed.
    """
    size = config.size_of(modality, int(embeddings.present.sum()))
    sizes = (size,) * config.levels_of(modality)
    if config.kind == "rqvae":
        from mgrec.ids.rqvae import RQVAE

        return RQVAE.fit(embeddings, sizes, iterations=config.iterations, seed=seed)
    return ResidualKMeans.fit(embeddings, sizes, iterations=config.iterations, seed=seed)


def quantiser_from_state(kind: str, state: Mapping[str, Any]) -> Quantiser:
    """Put together what a quantiser's `state` returned; `kind` is the name of its class.

    Raises
    ------
    ArtifactError
        If there is no such quantiser.
    """
    if kind == "RQVAE":
        from mgrec.ids.rqvae import RQVAE

        return RQVAE.from_state(state)
    if kind == "ResidualKMeans":
        return ResidualKMeans.from_state(state)
    if kind == "Projected":
        from mgrec.ids.projected import Projected

        return Projected.from_state(state)
    raise ArtifactError(f"quantiser '{kind}': unknown, expected ResidualKMeans, RQVAE or Projected")
