"""Small planted catalogues and logs that several tests share."""

import numpy as np

from mgrec.configs import IdsConfig, ModelConfig
from mgrec.data.features import Codes, Embeddings
from mgrec.data.sequences import Sequences
from mgrec.ids.semantic_ids import SemanticIds, build
from mgrec.model.generator import Generator

FUSIONS = {
    "text": IdsConfig(fusion="unimodal", modalities=("text",)),
    "image": IdsConfig(fusion="unimodal", modalities=("image",)),
    "early": IdsConfig(fusion="unimodal", modalities=("fused",)),
    "late": IdsConfig(fusion="late"),
    "late++": IdsConfig(fusion="late++"),
    "image first": IdsConfig(fusion="late++", modalities=("image", "text")),
    "three modalities": IdsConfig(fusion="late++", modalities=("text", "image", "fused")),
    "text target": IdsConfig(fusion="late++", target="text"),
    "interleaved": IdsConfig(fusion="late", interleaved=True),
}


def random_codes(
    items: int, sizes: tuple[int, ...] = (6, 6), missing: float = 0.1, seed: int = 0
) -> Codes:
    """Codes without any structure; few enough of them that items collide."""
    rng = np.random.default_rng(seed)
    codes = np.stack([rng.integers(0, size, items) for size in sizes], 1).astype(np.int32)
    present = rng.random(items) >= missing
    return Codes(np.where(present[:, None], codes, 0).astype(np.int32), present, sizes)


def random_ids(config: IdsConfig, items: int = 200) -> SemanticIds:
    names = ("text", "image", "fused")
    return build({name: random_codes(items, seed=i) for i, name in enumerate(names)}, config)


def random_vectors(items: int, width: int = 12, seed: int = 0) -> Embeddings:
    rng = np.random.default_rng(seed)
    return Embeddings(rng.normal(size=(items, width)).astype(np.float32), np.ones(items, bool))


def tiny_model(**fields: object) -> ModelConfig:
    small = {"dim": 16, "heads": 2, "head_dim": 8, "hidden": 32, "history": 8, "dropout": 0.1}
    return ModelConfig.model_validate(small | fields)


def tiny_generator(
    config: IdsConfig = FUSIONS["late++"], items: int = 200, **fields: object
) -> Generator:
    vectors = {"text": random_vectors(items)}
    made = Generator(tiny_model(**fields), random_ids(config, items), vectors).eval()
    if made.experts is not None:
        made.experts.weight.fill_(1)  # as if chosen
    return made


def walks(items: int, users: int = 120, length: int = 9, seed: int = 0) -> Sequences:
    """Histories that step through the catalogue: item i is always followed by i + 1."""
    rng = np.random.default_rng(seed)
    first = rng.integers(0, items, users)
    return Sequences.of([(first[u] + np.arange(length)) % items for u in range(users)])
