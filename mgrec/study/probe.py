"""The probe: an untrained model of a fit's real size, to time its work."""

from __future__ import annotations

import hashlib
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from mgrec.catalogue import FUSED, Catalogue
from mgrec.configs import ContentConfig, IdsConfig, QuantiserConfig
from mgrec.content.cache import VectorCache
from mgrec.content.encoders import image_encoder, text_encoder
from mgrec.content.encoding import given
from mgrec.content.pictures import PictureProblem, attempt, picture_key, quiet, read_picture
from mgrec.data.dataset import Dataset
from mgrec.data.features import Codes, Embeddings
from mgrec.data.sequences import Sequences
from mgrec.ids.quantiser import fit_quantiser
from mgrec.ids.semantic_ids import build
from mgrec.recipe import Recipe

TEXTS, PICTURES = 48, 24  # encoded
LOOKED_UP = 256  # pictures looked for in the cache
ROWS, CODES, PASSES = 2048, 256, 5  # quantised, codes of a level, passes of k-means
SOLVED = 1024  # unknowns of a linear system


@dataclass(frozen=True)
class Encoding:
    """What encoding one modality takes.

    Attributes
    ----------
    contents : to encode, those of the cache left out
    seconds : of one
    load : seconds that loading the encoder takes
    dim : width of its vectors
    """

    contents: int
    seconds: float
    load: float
    dim: int


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that one call takes."""
    begun = time.monotonic()
    work()
    return time.monotonic() - begun


def peak_bytes() -> int:
    """Return the peak memory of this process so far."""
    status = Path("/proc/self/status")  # ru_maxrss starts with the parent's memory
    if status.exists():
        lines = status.read_text().splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most << 10


def spread(histories: Sequences, most: int) -> Sequences:
    """Return at most so many rows, spread over all lengths."""
    order = np.argsort(histories.lengths, kind="stable")
    return histories.select(order[_evenly(len(order), most)])


def _evenly(n: int, most: int) -> NDArray[np.int64]:
    """Return int64 [at most `most`]: places spread evenly over n."""
    count = min(n, most)
    return ((np.arange(count) + 0.5) * n / max(count, 1)).astype(np.int64)


def time_texts(data: Dataset, config: ContentConfig, cache: Path | None) -> Encoding:
    """Measure the text encoder on a few texts that are not cached."""
    encoder = text_encoder(config.text_encoder)
    texts = {text for each in data.texts() if (text := given(each)) is not None}
    keys = {hashlib.sha256(text.encode()).digest(): text for text in texts}
    known = VectorCache.of(cache, "text", encoder.name, encoder.revision).get(keys)
    unknown = sorted(keys[key] for key in keys.keys() - known.keys())
    if not unknown:
        return Encoding(0, 0, 0, len(next(iter(known.values()))) if known else 1)
    some = [unknown[place] for place in _evenly(len(unknown), TEXTS)]
    load = timed(lambda: encoder.encode(some[:1], 1))
    begun = time.monotonic()
    vectors = encoder.encode(some, config.batch)
    each = (time.monotonic() - begun) / len(some)
    return Encoding(len(unknown), each, load, vectors.shape[1])


def time_pictures(data: Dataset, config: ContentConfig, cache: Path | None) -> Encoding:
    """Measure the picture encoder on a few pictures that are not cached."""
    encoder = image_encoder(config.image_encoder)
    pictures = sorted({picture for picture in data.pictures() if picture is not None})
    some = [pictures[place] for place in _evenly(len(pictures), LOOKED_UP)]
    keyed = [(attempt(picture_key, picture), picture) for picture in some]
    keys = {key: picture for key, picture in keyed if not isinstance(key, PictureProblem)}
    known = VectorCache.of(cache, "image", encoder.name, encoder.revision).get(keys)
    unknown = [keys[key] for key in keys.keys() - known.keys()]
    read = partial(attempt, partial(read_picture, side=encoder.side))
    begun = time.monotonic()
    with quiet():
        found = [read(unknown[place]) for place in _evenly(len(unknown), PICTURES)]
    images = [image for image in found if not isinstance(image, PictureProblem)]
    reading = (time.monotonic() - begun) / max(len(found), 1)
    if not images:
        return Encoding(0, 0, 0, encoder.dim if known else 1)
    load = timed(lambda: encoder.encode(images[:1], 1))
    each = timed(lambda: encoder.encode(images, config.batch)) / len(images)
    # Pictures are read by other threads while the network works.
    each = max(each, reading) if torch.get_num_threads() > 1 else each + reading
    return Encoding(round(len(pictures) * len(unknown) / len(some)), each, load, encoder.dim)


def time_quantising(config: QuantiserConfig, name: str, items: int, dim: int) -> float:
    """Return the seconds that a block's quantiser takes for so many items."""
    size, levels = config.size_of(name, items), config.levels_of(name)
    rows, codes = min(ROWS, items), min(CODES, size)
    vectors = np.random.default_rng(0).standard_normal((rows, dim), np.float32)
    small = config.model_copy(update={"iterations": PASSES, "per_modality": {}, "size": codes})
    small = small.model_copy(update={"levels": 1})
    sample = Embeddings(vectors, np.ones(rows, bool))
    each = timed(lambda: fit_quantiser(sample, small, name, 0))
    more = levels * (items / rows) * (config.iterations / PASSES)
    return each * more * (size / codes if config.kind == "residual_kmeans" else 1)


def time_solving(unknowns: int) -> float:
    """Return the seconds that solving a linear system of so many unknowns takes."""
    n = min(SOLVED, unknowns)
    matrix = torch.eye(n) * 2

    def solve() -> None:
        torch.cholesky_solve(matrix, torch.linalg.cholesky(matrix))

    solve()
    return timed(solve) * (unknowns / max(n, 1)) ** 3


def sketch(data: Dataset, recipe: Recipe, widths: dict[str, int]) -> Catalogue:
    """Return a catalogue of the real size: ready-made codes and embeddings where there are any,
    random ones where a fit would compute them.

    Parameters
    ----------
    widths : of the embeddings of every modality that has no ready-made codes
    """
    random = np.random.default_rng(0)
    vectors: dict[str, Embeddings] = {}
    codes: dict[str, Codes] = {}
    for modality in recipe.ids.modalities:
        if modality not in widths:
            ready = data.codes[modality]
            levels = recipe.content.prefix or ready.levels
            codes[modality] = Codes(ready.codes[:, :levels], ready.present, ready.sizes[:levels])
            continue
        has = data.present(modality) if modality in data.modalities else np.ones(data.n_items, bool)
        width = min(recipe.quantiser.pca or widths[modality], widths[modality])
        block = random.standard_normal((min(data.n_items, ROWS), width), np.float32)
        vectors[modality] = Embeddings(np.resize(block, (data.n_items, width)), has)
    layout = recipe.ids
    if layout.fusion == "early":
        layout = IdsConfig(fusion="unimodal", modalities=(FUSED,))
        present = {FUSED: np.logical_or.reduce([v.present for v in vectors.values()])}
    else:
        present = {name: found.present for name, found in vectors.items()}
    for name, has in present.items():
        size = recipe.quantiser.size_of(name, int(has.sum()))
        shape = (data.n_items, recipe.quantiser.levels_of(name))
        drawn = random.integers(0, size, shape, dtype=np.int32)
        codes[name] = Codes(np.where(has[:, None], drawn, 0), has, (size,) * shape[1])
    return Catalogue(
        items=data.items,
        root=None,
        vectors=vectors,
        scalers={},
        codes=codes,
        quantisers={},
        encoders={},
        ids=build(codes, layout),
    )
