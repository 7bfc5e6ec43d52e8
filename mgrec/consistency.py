"""Consistency checks between the parts of an artifact, which may come from an untrusted source."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, StrictInt, ValidationError
from torch import Tensor

from mgrec.artifact import Contents
from mgrec.catalogue import FUSED, Catalogue
from mgrec.data.features import Embeddings
from mgrec.errors import ArtifactError
from mgrec.ids.semantic_ids import SPECIALS, SemanticIds
from mgrec.ids.trie import Trie
from mgrec.journal import Step
from mgrec.manifest import field_of


class Layout(BaseModel):
    """``layout.json``: how the arrays form a catalogue."""

    model_config = ConfigDict(frozen=True)

    slots: list[dict[str, Any]]
    target: list[StrictInt]
    blocks: dict[str, list[StrictInt]]
    quantisers: dict[str, str]
    vectors: list[str]
    problems: list[str]
    text_columns: list[str] = []
    pictures: str | None


def check_contents(contents: Contents) -> None:
    """Refuse contents with a part that is missing or has a wrong type, before they are used.

    Raises
    ------
    ArtifactError
        Naming the part, what was found and what was expected.
    """
    for kind, known, wanted in (
        ("document", contents.documents, ("layout", "run")),
        ("table", contents.tables, ("items", "users")),
        ("group of tensors", contents.tensors, ("model",)),
        ("group of arrays", contents.arrays, ("ids",)),
    ):
        for name in wanted:
            _expect(name in known, name, "nothing", f"a {kind}")
    try:
        layout = Layout.model_validate(contents.documents["layout"])
    except ValidationError as error:
        line = error.errors()[0]["msg"]
        raise ArtifactError(f"layout.json: corrupt: {field_of(error)}: {line}") from None
    _check_facts(contents.documents["run"])
    _check_items(contents.tables["items"], layout)
    n = len(contents.tables["items"])
    _check_users(contents.tables["users"], n)
    arrays = contents.arrays
    array(arrays, "ids", "tokens", np.int32, (n, len(layout.slots)))
    counts = array(arrays, "ids", "counts", np.integer, (n,))
    _expect(bool((counts >= 0).all()), "ids.counts", "a negative number", "counts")
    for name in ("removed", "added"):
        if name in arrays["ids"]:
            array(arrays, "ids", name, np.bool_, (n,))
    for name in layout.vectors:
        found = array(arrays, f"vectors-{name}", "vectors", np.float32, (n, None))
        array(arrays, f"vectors-{name}", "present", np.bool_, (n,))
        _check_scaler(arrays, f"scaler-{name}", found.shape[1])
    for name, sizes in layout.blocks.items():
        codes = array(arrays, f"codes-{name}", "codes", np.int32, (n, len(sizes)))
        array(arrays, f"codes-{name}", "present", np.bool_, (n,))
        inside = ((codes >= 0) & (codes < np.array(sizes))).all()
        _expect(bool(inside), f"codes-{name}", "a code out of range", f"codes below {sizes}")
    for group, parts in arrays.items():
        whole = all(np.isfinite(part).all() for part in parts.values() if part.dtype.kind == "f")
        _expect(whole, f"{group}.safetensors", "NaN or infinity", "numbers")
    for name, tensor in contents.tensors["model"].items():
        whole = not tensor.is_floating_point() or bool(torch.isfinite(tensor).all())
        _expect(whole, f"weights '{name}'", "NaN or infinity", "numbers")


def check_catalogue(catalogue: Catalogue) -> None:
    """Refuse a catalogue whose IDs, codes and quantisers are inconsistent.

    Raises
    ------
    ArtifactError
        Naming the part.
    """
    _check_ids(catalogue.ids, catalogue.codes)
    unknown = catalogue.quantisers.keys() - catalogue.codes.keys()
    _expect(not unknown, "layout.json", f"a quantiser of {sorted(unknown)}", "one of a block")
    width = {name: e.dim for name, e in catalogue.vectors.items()}
    width[FUSED] = sum(width.values())
    for name, quantiser in catalogue.quantisers.items():
        sizes = catalogue.codes[name].sizes
        _expect(tuple(quantiser.sizes) == sizes, f"quantiser-{name}", quantiser.sizes, sizes)
        one = Embeddings(np.zeros((1, width.get(name, 0)), np.float32), np.ones(1, bool))
        made = quantiser.encode(one).codes  # raises where its arrays do not fit
        _expect(made.shape == (1, len(sizes)), f"quantiser-{name}", made.shape, (1, len(sizes)))
    for name, encoder in catalogue.encoders.items():
        sound = name in catalogue.vectors and type(encoder.dim) is int
        sound &= isinstance(encoder.name, str) and isinstance(encoder.revision, str)
        _expect(sound, f"encoder of '{name}'", encoder, "a name, a revision and a dimension")


def check_step(step: Step, catalogue: Catalogue, known: Collection[object]) -> None:
    """Refuse a change whose parts are inconsistent, or do not fit the catalogue.

    Parameters
    ----------
    known : ids of the catalogue with all earlier changes

    Raises
    ------
    ArtifactError
        Naming the part.
    """
    kind = catalogue.items.schema["item_id"]
    if isinstance(step, pl.Series):
        _expect(step.dtype == kind, "removed ids", step.dtype, kind)
        _expect(all(item in known for item in step), "removed ids", "unknown ones", "known ones")
        return
    ids = step.items["item_id"]
    _expect(ids.dtype == kind, "new items, 'item_id'", ids.dtype, kind)
    _check_names(step.items, "new items", "item_id")
    n = len(step.items)
    shown = step.items.schema.get("image", pl.String())
    _expect(shown in (pl.String, pl.Null), "new items, 'image'", shown, "String")
    for name, have in catalogue.vectors.items():
        parts = {"new": vars(step.vectors[name])}
        found = array(parts, "new", "vectors", np.float32, (n, have.dim))
        array(parts, "new", "present", np.bool_, (n,))
        _expect(bool(np.isfinite(found).all()), f"new vectors of '{name}'", "NaN", "numbers")
    for name, before in catalogue.codes.items():
        parts = {"new": {"codes": step.codes[name].codes, "present": step.codes[name].present}}
        codes = array(parts, "new", "codes", np.int32, (n, before.levels))
        array(parts, "new", "present", np.bool_, (n,))
        inside = ((codes >= 0) & (codes < np.array(before.sizes))).all()
        _expect(bool(inside), f"new codes of '{name}'", "a code out of range", before.sizes)


def check_trie(trie: Trie, ids: SemanticIds) -> None:
    """Refuse a saved trie that does not match the semantic IDs and would be read out of bounds.

    Raises
    ------
    ArtifactError
        In one line.
    """
    n = ids.n_items
    place = torch.arange(n, dtype=torch.int32)
    sound = _is_whole(trie.item_of_leaf, n, n) and _is_whole(trie.leaf_of_item, n, n)
    sound = sound and bool((trie.item_of_leaf[trie.leaf_of_item.long()] == place).all())
    sound = sound and trie.depth == len(ids.target)
    above = 1  # nodes of the previous level
    for level, slot in zip(trie.levels, ids.target_slots, strict=False):
        nodes = len(level.code)
        sound = sound and _is_whole(level.code, nodes, slot.size) and nodes <= n
        for offsets, length, end in ((level.start, above, nodes), (level.first, nodes, n)):
            sound = sound and _is_whole(offsets, length + 1, end + 1)
            sound = sound and int(offsets[0]) == 0 and int(offsets[-1]) == end
            sound = sound and bool((offsets.diff() > 0).all())
        above = nodes
    _expect(sound and above == n, "trie", "another tree", "that of the semantic IDs")


def check_weights(found: Mapping[str, Tensor], expected: Mapping[str, Tensor], n: int) -> None:
    """Refuse weights whose shapes differ from those of the model, before it is built.

    Parameters
    ----------
    expected : weights of the model, which may be on the "meta" device
    n : number of items

    Raises
    ------
    ArtifactError
        Naming the first.
    """
    for name, tensor in expected.items():
        shapes = tuple(found[name].shape), tuple(tensor.shape)
        free = name.startswith("experts.of.") and tensor.ndim and not tensor.is_floating_point()
        table = _is_table(name) and not _is_row(name)  # as many rows as it needs
        same = shapes[0] == shapes[1] or (table and len(shapes[0]) == len(shapes[1]))
        _expect(same, f"weights '{name}'", shapes[0], shapes[1])
        kinds = found[name].dtype, tensor.dtype  # tables are used without a cast
        _expect(kinds[0] == kinds[1] or not _is_table(name), f"weights '{name}'", *kinds)
        if free and found[name].numel():
            end = len(found[name.removesuffix("place") + "item"]) if _is_row(name) else n
            low, high = int(found[name].min()), int(found[name].max())
            _expect(low >= -1 and high < end, f"weights '{name}'", (low, high), f"below {end}")
        if _is_table(name) and name.endswith(".item"):
            strengths = tuple(found[name.removesuffix("item") + "strength"].shape)
            _expect(shapes[0] == strengths, f"weights '{name}'", shapes[0], strengths)


def array(
    arrays: Mapping[str, Mapping[str, NDArray[Any]]],
    group: str,
    name: str,
    kind: type[Any],
    shape: tuple[int | None, ...],
) -> NDArray[Any]:
    """Return an array of a group after checking its type and shape; None is any length.

    Raises
    ------
    ArtifactError
        If it is missing, or has another type or shape.
    """
    found = arrays.get(group, {}).get(name)
    where = f"{group}.safetensors, '{name}'"
    if found is None:
        raise ArtifactError(f"{where}: missing")
    same = len(found.shape) == len(shape) and all(
        length in (None, own) for own, length in zip(found.shape, shape, strict=True)
    )
    _expect(same, where, list(found.shape), list(shape))
    _expect(np.issubdtype(found.dtype, kind), where, found.dtype, kind.__name__)
    return found


def _check_facts(facts: Any) -> None:
    _expect(isinstance(facts, dict), "run.json", type(facts).__name__, "an object")
    for name in ("test", "continues", "options", "training", "final"):
        part = facts.get(name, {})
        _expect(isinstance(part, dict), f"run.json, '{name}'", type(part).__name__, "an object")
    metrics = facts.get("test", {}).get("metrics", {})
    _expect(isinstance(metrics, dict), "run.json, 'metrics'", type(metrics).__name__, "an object")


def _check_items(items: pl.DataFrame, layout: Layout) -> None:
    _check_names(items, "items.parquet", "item_id")
    _expect(len(items) > 0, "items.parquet", "no rows", "at least one")
    missing = [name for name in layout.text_columns if name not in items.columns]
    _expect(not missing, "items.parquet", f"no column {missing}", "the columns of the text")
    kind = items.schema.get("image", pl.String())
    _expect(kind in (pl.String, pl.Null), "items.parquet, 'image'", kind, "String")


def _check_users(users: pl.DataFrame, n: int) -> None:
    _check_names(users, "users.parquet", "user_id")
    lengths = None
    for name in ("items", "times"):
        if name == "times" and name not in users.columns:
            continue
        where = f"users.parquet, '{name}'"
        _expect(name in users.columns, where, "nothing", "a column")
        kind = users.schema[name]
        whole = isinstance(kind, pl.List) and _whole(kind.inner)
        _expect(whole, where, kind, "lists of whole numbers")
        flat = users[name].drop_nulls().list.eval(pl.element().is_null()).list.any()
        _expect(users[name].null_count() == 0 and not flat.any(), where, "null", "numbers")
        own = users[name].list.len()
        _expect(lengths is None or bool((own == lengths).all()), where, "other lengths", "items'")
        lengths = own
        if name == "items" and len(users):
            found = users[name].list.explode().drop_nulls().cast(pl.Int64).to_numpy()
            inside = bool(((found >= 0) & (found < n)).all())
            _expect(inside, where, "an item out of range", f"items below {n}")


def _check_names(table: pl.DataFrame, where: str, column: str) -> None:
    kind = table.schema.get(column)
    _expect(kind in (pl.Int64, pl.String), f"{where}, '{column}'", kind, "whole numbers or text")
    ids = table[column]
    whole = ids.null_count() == 0 and ids.n_unique() == len(ids)
    _expect(whole, f"{where}, '{column}'", "null or the same id twice", "each id once")


def _check_scaler(arrays: Mapping[str, Mapping[str, NDArray[Any]]], group: str, width: int) -> None:
    mean = array(arrays, group, "mean", np.float32, (None,))
    axes = array(arrays, group, "axes", np.float32, (None, None))
    scale = array(arrays, group, "scale", np.float32, (1,))
    wanted = (len(mean), width) if axes.size else (0, 0)
    _expect(axes.shape == wanted, f"{group}, 'axes'", axes.shape, wanted)
    _expect(bool(axes.size) or len(mean) == width, f"{group}, 'mean'", len(mean), width)
    _expect(float(scale[0]) > 0, f"{group}, 'scale'", float(scale[0]), "a number above 0")


def _check_ids(ids: SemanticIds, blocks: Iterable[str]) -> None:
    first = SPECIALS
    for slot in ids.slots:
        sound = slot.kind in ("code", "transition", "digit") and isinstance(slot.modality, str)
        sound = sound and all(type(v) is int for v in (slot.level, slot.first, slot.size))
        sound = sound and slot.first == first and 0 < slot.size < 1 << 24
        _expect(sound, "layout.json", slot, f"a slot whose tokens begin at {first}")
        first += slot.size
    places = ids.target
    sound = len(set(places)) == len(places) > 0 and all(0 <= p < len(ids.slots) for p in places)
    _expect(sound, "layout.json, 'target'", places, f"slots below {len(ids.slots)}")
    low = np.array([slot.first for slot in ids.slots])
    high = low + [slot.size for slot in ids.slots]
    inside = bool(((ids.tokens >= low) & (ids.tokens < high)).all())
    _expect(inside, "ids.safetensors, 'tokens'", "a token out of its slot's range", "none")
    for name in blocks:
        _expect(bool(ids.block(name)), "layout.json", f"no slot of '{name}'", "one a level")


def _whole(kind: Any) -> bool:
    made = kind() if isinstance(kind, type) else kind
    return isinstance(made, pl.DataType) and made.is_integer()


def _is_whole(tensor: Tensor, length: int, end: int) -> bool:
    """Whether a tensor is [length] whole numbers from 0 to below an end."""
    if tensor.shape != (length,) or tensor.is_floating_point() or tensor.is_complex():
        return False
    return not length or (int(tensor.min()) >= 0 and int(tensor.max()) < end)


def _is_table(name: str) -> bool:
    """Whether weights are of an expert that is a table of neighbours."""
    return name.startswith(("experts.of.linear.", "experts.of.knn-"))


def _is_row(name: str) -> bool:
    return _is_table(name) and name.endswith(".place")


def _expect(sound: bool, where: str, found: object, expected: object) -> None:
    if not sound:
        words = " ".join(f"found {found}, expected {expected}".split())
        raise ArtifactError(f"{where}: corrupt: {words[:300]}")
