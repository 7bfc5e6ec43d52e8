"""A quantiser behind a projection: codes of what is left after it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mgrec.data.features import Codes, Embeddings
from mgrec.ids.quantiser import Quantiser, quantiser_from_state
from mgrec.ids.standardise import Standardiser


@dataclass(frozen=True, eq=False)
class Projected:
    """A quantiser of projected embeddings, itself a quantiser of those before the projection.

    Attributes
    ----------
    projection : linear, with axes
    quantiser : fitted on what it gives
    """

    projection: Standardiser
    quantiser: Quantiser

    @property
    def sizes(self) -> tuple[int, ...]:
        return self.quantiser.sizes

    def encode(self, embeddings: Embeddings) -> Codes:
        """Return codes [items, levels]; rows without the modality are zero."""
        return self.quantiser.encode(self.projection.apply(embeddings))

    def decode(self, codes: Codes) -> NDArray[np.float32]:
        """Return float32 [items, dim]: the smallest vectors that are projected to the codes'."""
        step = self.projection
        found = self.quantiser.decode(codes) * step.scale @ np.linalg.pinv(step.axes) + step.mean
        found[~codes.present] = 0
        return found.astype(np.float32)

    def state(self) -> dict[str, Any]:
        """Return everything as arrays; the inner quantiser's under the name of its class."""
        kind = type(self.quantiser).__name__
        inner = {f"{kind}.{name}": array for name, array in self.quantiser.state().items()}
        return {f"projection.{k}": v for k, v in self.projection.state().items()} | inner

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Projected:
        """Put together what `state` returned."""
        parts: dict[str, dict[str, Any]] = {}
        for key, array in state.items():
            owner, _, name = key.partition(".")
            parts.setdefault(owner, {})[name] = array
        projection = Standardiser.from_state(parts.pop("projection"))
        [(kind, inner)] = parts.items()
        return cls(projection, quantiser_from_state(kind, inner))
