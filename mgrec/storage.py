"""A recommender as the contents of an artifact, and back, at any version of its catalogue."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from mgrec.artifact import Contents, read
from mgrec.catalogue import Catalogue
from mgrec.configs import ModelConfig
from mgrec.consistency import (
    check_catalogue,
    check_contents,
    check_step,
    check_trie,
    check_weights,
)
from mgrec.content.contracts import EncoderIdentity
from mgrec.cores import check_process
from mgrec.data.columns import plain_frame
from mgrec.data.features import Codes, Embeddings
from mgrec.data.sequences import Sequences
from mgrec.errors import ArtifactError, DataError, RequestError
from mgrec.files import parsing
from mgrec.ids.quantiser import quantiser_from_state
from mgrec.ids.semantic_ids import SemanticIds, Slot
from mgrec.ids.standardise import Standardiser
from mgrec.ids.trie import Trie
from mgrec.journal import Entry, Journal, Step, base_of, read_journal, read_step
from mgrec.model.device import own_random_state
from mgrec.model.generator import Generator
from mgrec.recommender import Recommender
from mgrec.replay import replayed
from mgrec.users import Users


def contents_of(made: Recommender) -> Contents:
    """Take a recommender apart into what an artifact holds."""
    catalogue, users = made.catalogue, made.users
    arrays: dict[str, dict[str, Any]] = {
        "ids": {"tokens": catalogue.ids.tokens, "counts": made.counts},
    }
    for name, mask in (("removed", catalogue.removed), ("added", catalogue.added)):
        if mask is not None:
            arrays["ids"][name] = mask
    for name, vectors in catalogue.vectors.items():
        arrays[f"vectors-{name}"] = {"vectors": vectors.vectors, "present": vectors.present}
        arrays[f"scaler-{name}"] = dict(catalogue.scalers[name].state())
    for name, codes in catalogue.codes.items():
        arrays[f"codes-{name}"] = {"codes": codes.codes, "present": codes.present}
    for name, quantiser in catalogue.quantisers.items():
        arrays[f"quantiser-{name}"] = dict(quantiser.state())
    table = {"user_id": users.ids, "items": _lists(users.log, users.log.items)}
    if users.times is not None:
        table["times"] = _lists(users.log, users.times)
    layout = {
        "slots": [asdict(slot) for slot in catalogue.ids.slots],
        "target": catalogue.ids.target,
        "blocks": {name: codes.sizes for name, codes in catalogue.codes.items()},
        "quantisers": {name: type(q).__name__ for name, q in catalogue.quantisers.items()},
        "vectors": list(catalogue.vectors),
        "problems": catalogue.problems,
        "text_columns": catalogue.text_columns,
        "columns": dict(catalogue.columns),
        "pictures": None if catalogue.root is None else str(catalogue.root.resolve()),
    }
    return Contents(
        recipe=made.recipe,
        fingerprint=made.fingerprint,
        tensors={"model": made.model.state_dict(), "trie": made.model.trie.state()},
        arrays=arrays,
        tables={"items": catalogue.items, "users": pl.DataFrame(table)},
        documents={"layout": layout, "run": made.facts},
        encoders={name: asdict(encoder) for name, encoder in catalogue.encoders.items()},
        facts={"test": made.facts.get("test", {}).get("metrics", {})},
    )


def recommender_of(contents: Contents) -> Recommender:
    """Put a recommender together from what an artifact holds."""
    check_contents(contents)
    layout, arrays = contents.documents["layout"], contents.arrays
    vectors, scalers = {}, {}
    for name in layout["vectors"]:
        vectors[name] = Embeddings(**arrays[f"vectors-{name}"])
        scalers[name] = Standardiser.from_state(arrays[f"scaler-{name}"])
    codes = {
        name: Codes(**arrays[f"codes-{name}"], sizes=tuple(sizes))
        for name, sizes in layout["blocks"].items()
    }
    ids = SemanticIds(
        tuple(Slot(**slot) for slot in layout["slots"]),
        arrays["ids"]["tokens"],
        tuple(layout["target"]),
    )
    folder = layout["pictures"]
    catalogue = Catalogue(
        items=plain_frame(contents.tables["items"]),  # older artifacts contain objects
        root=None if folder is None else Path(folder),
        vectors=vectors,
        scalers=scalers,
        codes=codes,
        quantisers={
            name: quantiser_from_state(kind, arrays[f"quantiser-{name}"])
            for name, kind in layout["quantisers"].items()
        },
        encoders={name: EncoderIdentity(**e) for name, e in contents.encoders.items()},
        ids=ids,
        problems=tuple(layout["problems"]),
        text_columns=tuple(layout.get("text_columns", ())),
        removed=arrays["ids"].get("removed"),
        added=arrays["ids"].get("added"),
        columns=layout.get("columns", {}),
    )
    check_catalogue(catalogue)
    # The tensors of a saved trie map the file. Older artifacts have none: it is built.
    saved = contents.tensors.get("trie")
    trie = Trie.of(ids) if saved is None else Trie.from_state(saved)
    check_trie(trie, ids)
    counts = arrays["ids"]["counts"]
    model = _model(contents.recipe.model, catalogue, trie, contents.tensors["model"])
    model.share(catalogue.added, counts, contents.recipe.search.new_items)
    table = contents.tables["users"]
    log = _sequences(table["items"])
    times = _flat(table["times"]) if "times" in table.columns else None
    return Recommender(
        recipe=contents.recipe,
        catalogue=catalogue,
        model=model.eval(),
        users=Users(table["user_id"], log, times),
        counts=counts,
        facts=contents.documents["run"],
        fingerprint=contents.fingerprint,
    )


def _checked(catalogue: Catalogue, steps: Iterable[Step]) -> Iterator[Step]:
    """Yield changes after checking each against the catalogue and earlier changes."""
    known = set(catalogue.items["item_id"])
    for step in steps:
        check_step(step, catalogue, known)
        known |= set(step if isinstance(step, pl.Series) else step.items["item_id"])
        yield step


def _model(
    config: ModelConfig, catalogue: Catalogue, trie: Trie, found: Mapping[str, Tensor]
) -> Generator:
    """Return a model with saved weights; shapes are checked before memory is allocated."""
    layers = max(config.layers, config.decoder_layers, config.experts.layers)
    if layers > len(found):
        raise ArtifactError(f"weights: found {len(found)}, expected those of {layers} layers")
    with torch.device("meta"):
        expected = Generator(config, catalogue.ids, catalogue.vectors, trie).state_dict()
    if other := sorted(found.keys() ^ expected.keys()):
        raise ArtifactError(
            f"weights: found {len(other)} that are missing or not known here, such as '{other[0]}':"
            " the artifact was saved by another version of mgrec: fit it again"
        )
    check_weights(found, expected, catalogue.n_items)
    model = Generator(config, catalogue.ids, catalogue.vectors, trie)
    model.load_state_dict(found)
    return model


@own_random_state()
def load_version(path: Path) -> tuple[Recommender, Recommender, Journal]:
    """Load an artifact as it was fitted, and at its present version, and what that is made of.

    Raises
    ------
    ArtifactError
        If there is none, or it or its changes are corrupt.
    """
    check_process()
    while True:  # a writer may replace the artifact, or delete what a version needed
        journal = read_journal(path)
        contents = read(path)
        with parsing(path):
            fitted = recommender_of(contents)
        try:
            made = at_version(path, fitted, journal.entries)
        except ArtifactError:
            if read_journal(path) == journal:
                raise
            continue
        if base_of(path) == journal.base:
            return fitted, made, journal


def at_version(path: Path, made: Recommender, entries: Sequence[Entry]) -> Recommender:
    """Return a recommender after further changes of its artifact, oldest first."""
    if not entries:
        return made
    steps = [read_step(path, entry) for entry in entries]
    try:
        with parsing(path):
            return made.over(replayed(made.catalogue, _checked(made.catalogue, steps)))
    except (DataError, RequestError) as error:
        raise ArtifactError(f"{path}: corrupt: its changes do not fit it: {error}") from None


def _lists(log: Sequences, values: Any) -> pl.Series:
    """Return one list a user of values that stand beside the log's items."""
    flat = pl.DataFrame({"user": np.repeat(np.arange(len(log)), log.lengths), "value": values})
    rows = pl.DataFrame({"user": np.arange(len(log))})
    grouped = flat.group_by("user", maintain_order=True).agg("value")
    joined = rows.join(grouped, on="user", how="left", maintain_order="left")
    empty = pl.lit([], dtype=joined.schema["value"])
    return joined.select(pl.col("value").fill_null(empty)).to_series()


def _sequences(lists: pl.Series) -> Sequences:
    """Turn one list a user back into rows."""
    lengths = lists.list.len().to_numpy().astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Sequences(offsets, _flat(lists).astype(np.int32))


def _flat(lists: pl.Series) -> NDArray[np.int64]:
    """Return all values, one list after the other; an empty list adds none."""
    return lists.filter(lists.list.len() > 0).explode().to_numpy()
