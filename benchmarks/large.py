"""Catalogues of any size in seconds: codes that are drawn, not quantised."""

from __future__ import annotations

import numpy as np

from mgrec.configs import IdsConfig
from mgrec.data.features import Codes
from mgrec.data.sequences import Sequences
from mgrec.ids.semantic_ids import SemanticIds, build


def drawn_ids(items: int, levels: dict[str, int], seed: int = 0) -> SemanticIds:
    """Return IDs of 256-code levels, a block a modality, whose low codes are the common ones."""
    rng = np.random.default_rng(seed)
    codes = {}
    for name, depth in levels.items():
        # As skewed as residual k-means leaves them: the commonest code has 3% of the items.
        drawn = (rng.random((items, depth), np.float32) ** 1.7 * 256).astype(np.int32)
        codes[name] = Codes(drawn.clip(max=255), np.ones(items, bool), (256,) * depth)
    fusion = "unimodal" if len(levels) == 1 else "late"
    return build(codes, IdsConfig(fusion=fusion, modalities=tuple(levels)))


def drawn_log(users: int, items: int, length: int, seed: int = 0) -> Sequences:
    """Return histories of one length."""
    rng = np.random.default_rng(seed)
    return Sequences.of(list(rng.integers(0, items, (users, length))))
