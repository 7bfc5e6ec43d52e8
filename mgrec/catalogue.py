"""Everything known of the items: their rows, vectors, codebooks, codes and semantic IDs."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mgrec.configs import IdsConfig
from mgrec.content.contracts import Content, EncoderIdentity
from mgrec.content.encoders import embed
from mgrec.content.shuffle import shuffled
from mgrec.data.arrays import different
from mgrec.data.dataset import Dataset
from mgrec.data.features import Codes, Embeddings
from mgrec.data.keys import key
from mgrec.data.splits import split
from mgrec.errors import RecipeError, RequestError, nearest
from mgrec.ids.common import common_space
from mgrec.ids.health import Health, health
from mgrec.ids.projected import Projected
from mgrec.ids.quantiser import Quantiser, fit_quantiser
from mgrec.ids.semantic_ids import SemanticIds, build
from mgrec.ids.standardise import Standardiser, fused
from mgrec.model.collaborative import collaborative
from mgrec.progress import say
from mgrec.recipe import Recipe
from mgrec.requests import ItemId, checked_ids

FUSED = "fused"  # the one block of early fusion


@dataclass(frozen=True, eq=False)
class Catalogue:
    """The items of a trained recommender; row = item index everywhere.

    Attributes
    ----------
    items : polars.DataFrame, ``item_id``, text columns, ``image``, attributes
    root : the folder that picture paths are relative to, if there is one
    vectors : continuous embeddings by modality, standardised, as the model reads them
    scalers : what standardised them
    codes, quantisers : by block; a block of ready-made codes has no quantiser
    encoders : what made the embeddings, by modality, where mgrec encoded them
    ids : semantic IDs
    problems : what went wrong with single items' content, in words
    text_columns : columns of `items` that make up an item's text
    removed : bool [items] or None, which are not recommended any more; histories may hold them
    added : bool [items] or None, which have come since training
    seconds : that it took to learn a modality from the log; known to the run that learned it
    columns : the items file's name for each renamed column; new items may use either name
    """

    items: pl.DataFrame
    root: Path | None
    vectors: Mapping[str, Embeddings]
    scalers: Mapping[str, Standardiser]
    codes: Mapping[str, Codes]
    quantisers: Mapping[str, Quantiser]
    encoders: Mapping[str, EncoderIdentity]
    ids: SemanticIds
    problems: tuple[str, ...] = ()
    text_columns: tuple[str, ...] = ()
    removed: NDArray[np.bool_] | None = None
    added: NDArray[np.bool_] | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    columns: Mapping[str, str] = field(default_factory=dict)

    @property
    def n_items(self) -> int:
        return len(self.items)

    @cached_property
    def listed(self) -> NDArray[np.bool_]:
        """bool [items]: which may be recommended."""
        return np.ones(self.n_items, bool) if self.removed is None else ~self.removed

    @cached_property
    def item_ids(self) -> list[int | str]:
        """The items' own ids; a list, since a look-up in a table takes milliseconds."""
        return self.items["item_id"].to_list()

    @cached_property
    def _index(self) -> dict[object, int]:
        return {item: row for row, item in enumerate(self.item_ids)}

    def index_of(self, item_ids: object) -> NDArray[np.int64]:
        """Return int64 [n]: the items' indices, -1 where unknown; ids are cast to ours' type."""
        dtype = self.items.schema["item_id"]
        found = [self._index.get(key(item, dtype), -1) for item in item_ids]  # type: ignore[attr-defined]
        return np.array(found, np.int64)

    def present(self) -> dict[str, NDArray[np.bool_]]:
        """Return bool [items] by modality: which items have it."""
        of_codes = {name: codes.present for name, codes in self.codes.items() if name != FUSED}
        return of_codes | {name: vectors.present for name, vectors in self.vectors.items()}

    def rows_of(self, ids: Iterable[ItemId]) -> NDArray[np.int64]:
        """Return the indices of listed items.

        Raises
        ------
        RequestError
            If one is unknown, or removed.
        """
        wanted = checked_ids("items", ids)
        rows = self.index_of(wanted)
        for item, row in zip(wanted, rows.tolist(), strict=True):
            if row < 0:
                raise RequestError(f"item {item!r}: not in the catalogue")
            if not self.listed[row]:
                raise RequestError(f"item {item!r}: removed already")
        return np.array(list(dict.fromkeys(rows.tolist())), np.int64)

    def health_of(self, block: str) -> list[str]:
        """Return the state of a block's codebooks in words, a sentence a level first."""
        return self.codebooks(block).in_words()

    def codebooks(self, block: str) -> Health:
        """Return the health of a block's codebooks, with the number of distinct vectors."""
        parts = list(self.vectors.values()) if block == FUSED else [self.vectors.get(block)]
        known = [vectors for vectors in parts if vectors is not None]
        return health(self.codes[block], block, different(known) if known else None)


def build_catalogue(data: Dataset, recipe: Recipe, cache: Path | None = None) -> Catalogue:
    """Encode, quantise and name every item of a dataset.

    Parameters
    ----------
    cache : where encoded vectors are kept; None is the user's cache folder

    Raises
    ------
    RecipeError
        If the recipe names a modality that the data lacks, or asks codes for early fusion.
    """
    codes: dict[str, Codes] = {}
    raw: dict[str, Embeddings] = {}
    encoded: dict[str, Content] = {}
    seconds: dict[str, float] = {}
    for modality, source in sources(data, recipe).items():
        say(f"{modality}: {_SOURCES[source]}")
        if source == "codes":
            ready = _prefix(data.codes[modality], recipe.content.prefix)
            codes[modality] = _ready(ready, modality, recipe)
        elif source == "sasrec":
            # Of the split, only train: what is held out must leave no trace in the codes.
            begun = time.monotonic()
            learned = collaborative(
                split(data, recipe.split).train,
                data.n_items,
                epochs=recipe.content.sasrec_epochs,
                seed=recipe.seed,
            )
            seconds[modality] = time.monotonic() - begun
            raw[modality] = _ready(learned, modality, recipe)
        elif source == "embeddings":
            raw[modality] = _ready(data.embeddings[modality], modality, recipe)
        else:
            encoded[modality] = embed(data, modality, recipe.content, cache, seed=recipe.seed)
            raw[modality] = encoded[modality].embeddings

    scalers = {name: Standardiser.fit(e, pca=recipe.quantiser.pca) for name, e in raw.items()}
    vectors = {name: scalers[name].apply(e) for name, e in raw.items()}
    blocks, layout = _blocks(vectors, recipe.ids)
    common = recipe.quantiser.common
    projections = common_space(blocks, common, seed=recipe.seed) if common else {}
    quantisers: dict[str, Quantiser] = {}
    for name, block in blocks.items():
        quantisers[name] = _quantiser(block, projections.get(name), recipe, name)
        codes[name] = quantisers[name].encode(block)
    catalogue = Catalogue(
        items=data.items,
        root=data.root,
        vectors=vectors,
        scalers=scalers,
        codes={name: codes[name] for name in layout.modalities},
        quantisers=quantisers,
        encoders={name: content.encoder for name, content in encoded.items()},
        ids=build(codes, layout),
        problems=tuple(line for content in encoded.values() for line in content.problems),
        text_columns=data.text_columns,
        seconds=seconds,
        columns=data.columns,
    )
    for line in catalogue.problems:
        say(line)
    for name in catalogue.codes:
        for line in catalogue.health_of(name):
            say(line)
    return catalogue


Feature = TypeVar("Feature", Embeddings, Codes)


def _ready(feature: Feature, modality: str, recipe: Recipe) -> Feature:
    """Return ready-made content as it is, or permuted between items as a negative control."""
    return shuffled(feature, recipe.seed) if modality in recipe.content.shuffle else feature


def _prefix(codes: Codes, levels: int) -> Codes:
    """Return the first levels of ready-made codes; all of them for 0."""
    if not levels:
        return codes
    return Codes(codes.codes[:, :levels], codes.present, codes.sizes[:levels])


def _quantiser(
    block: Embeddings, projection: Standardiser | None, recipe: Recipe, name: str
) -> Quantiser:
    """Fit a block's quantiser, behind its projection to the common space if there is one."""
    if projection is None:
        return fit_quantiser(block, recipe.quantiser, name, recipe.seed)
    inner = fit_quantiser(projection.apply(block), recipe.quantiser, name, recipe.seed)
    return Projected(projection, inner)


def _blocks(
    vectors: dict[str, Embeddings], layout: IdsConfig
) -> tuple[dict[str, Embeddings], IdsConfig]:
    """Return what is still to be quantised, and the layout of the blocks that come of it."""
    if layout.fusion != "early":
        return vectors, layout
    return {FUSED: fused(vectors)}, IdsConfig(fusion="unimodal", modalities=(FUSED,))


def sources(data: Dataset, recipe: Recipe) -> dict[str, str]:
    """Return where each of a recipe's modalities comes from, before anything is encoded.

    Raises
    ------
    RecipeError, DataError
        If the recipe cannot be fitted on the data, in one line.
    """
    found = {modality: _source(data, modality, recipe) for modality in recipe.ids.modalities}
    bare = [modality for modality, source in found.items() if source == "codes"]
    if recipe.ids.fusion == "early" and bare:
        raise RecipeError(
            f"ids.fusion: early fusion needs embeddings, found codes only of {', '.join(bare)}"
        )
    if recipe.quantiser.common and len(found) - len(bare) < 2:
        raise RecipeError(
            "quantiser.common: it needs embeddings of at least two modalities, found codes only of"
            f" {', '.join(bare)}"
        )
    _check_prefix(data, bare, recipe.content.prefix)
    return found


def _check_prefix(data: Dataset, bare: list[str], levels: int) -> None:
    """Refuse a prefix that cuts nothing off: it would pass for another code than it is."""
    if levels and not bare:
        raise RecipeError("content.prefix: found no ready-made codes, expected some to cut")
    for modality in bare:
        if levels > data.codes[modality].levels:
            raise RecipeError(
                f"content.prefix: found {levels}, expected at most the"
                f" {data.codes[modality].levels} levels of the ready-made codes of {modality}"
            )


def _source(data: Dataset, modality: str, recipe: Recipe) -> str:
    wanted = recipe.content.source_of(modality)
    if wanted == "sasrec":
        return wanted
    if modality not in data.modalities:
        known = list(data.modalities)
        needs = f"recipe '{recipe.name}': it needs {', '.join(recipe.ids.modalities)}"
        if not known:
            raise RecipeError(f"{needs}, and the data has no text, picture, embedding or code")
        raise RecipeError(
            f"{needs}, and the data has only {', '.join(known)}.{nearest(modality, known)}"
            f" Try a unimodal recipe, such as --recipe {known[0]}."
        )
    return data.source_of(modality, wanted)


_SOURCES = {
    "codes": "ready-made codes",
    "embeddings": "ready-made embeddings",
    "encode": "encoded from the catalogue's own content",
    "sasrec": "learned from the train split by a SASRec",
}
