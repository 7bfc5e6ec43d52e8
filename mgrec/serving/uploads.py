"""Items that come by HTTP: their pictures become files, their vectors arrays."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import numpy as np
import polars as pl

from mgrec.artifact import UPLOADS
from mgrec.content.pictures import MAX_PIXELS, PictureProblem, read_picture
from mgrec.data.features import Embeddings
from mgrec.data.jsonl import first_of, series, stranger, type_of
from mgrec.data.keys import plain
from mgrec.data.tables import short
from mgrec.errors import RequestError
from mgrec.folders import new_file
from mgrec.serving import limits
from mgrec.serving.gallery import KINDS
from mgrec.serving.live import Change, Live
from mgrec.serving.schemas import AddRequest, NewItem

_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
PICTURE = 8 << 20  # bytes of a picture
PICTURES = 2_000  # of one request
SIDE = 64  # pixels to which a picture is read when it is looked at only for whether it can be
_SUFFIXES = {kind.removeprefix("image/").upper(): suffix for suffix, kind in KINDS.items()}


def add_items(live: Live, asked: AddRequest) -> Change:
    """Add the items of a request; if that fails, delete its pictures.

    Raises
    ------
    RequestError
        If there are too many pictures, or one is too large; otherwise as `added`.
    """
    pictures = [(place, item.picture) for place, item in enumerate(asked.items) if item.picture]
    if len(pictures) > PICTURES:
        raise RequestError(
            f"items: found {len(pictures):,} pictures, expected at most {PICTURES:,}"
        )
    for place, picture in pictures:
        if len(picture) > PICTURE:
            raise RequestError(
                f"items.{place}.picture: found {len(picture):,} bytes, expected at most {PICTURE:,}"
            )
    folder = live.path / UPLOADS
    before = set(_files(folder))
    try:
        return added(live, asked)
    except BaseException:
        sent = {sha256(picture).hexdigest() for _, picture in pictures}
        for name in set(_files(folder)) - before - _named(live):
            if name.partition(".")[0] in sent:
                (folder / name).unlink(missing_ok=True)
        raise


def _files(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir()] if folder.is_dir() else []


def _named(live: Live) -> set[str]:
    """Return the picture files in the catalogue, with those that other processes have added."""
    with suppress(Exception):  # the original error is raised instead
        live.refresh()
    items = live.recommender.catalogue.items
    paths = items["image"].drop_nulls() if "image" in items.columns else ()
    return {Path(str(path)).name for path in paths}


def added(live: Live, asked: AddRequest) -> Change:
    """Add what a request brings; its pictures are kept in the artifact's folder.

    Raises
    ------
    RequestError
        If a picture or an array cannot be read, or an item names a file of the server.
    DataError, RecipeError, ArtifactError
        As `Live.add_items`.
    """
    vectors = {name: _vectors(name, data, asked) for name, data in asked.embeddings.items()}
    folder = live.path / UPLOADS
    names = live.recommender.catalogue.columns
    rows = [_row(item, place, folder, names) for place, item in enumerate(asked.items)]
    fields = dict.fromkeys(field for row in rows for field in row)
    frame = pl.DataFrame([_column(field, [row.get(field) for row in rows]) for field in fields])
    return live.add_items(frame, embeddings=vectors or None, folder=folder)


def _column(field: str, values: list[object]) -> pl.Series:
    """Return a field's values as a column of their type."""
    kinds = {type(value) for value in values} - {type(None)}
    if not kinds <= {int, float} and len(kinds) > 1:
        place = stranger(values) or 0
        raise RequestError(
            f"items.{place}.{field}: found {short(values[place])}, expected"
            f" {type_of(first_of(values))}, as in the items before"
        )
    return series(field, values, "items")


def _row(item: NewItem, place: int, folder: Path, names: Mapping[str, str]) -> dict[str, object]:
    """Return an item's columns under our names; `names` are those of the fitted file."""
    where = f"items.{place}"
    row: dict[str, object] = dict(item.model_extra or {})
    if item.item_id is not None:
        row["item_id"] = item.item_id
    for ours, theirs in names.items():
        if theirs not in row:
            continue
        if row.setdefault(ours, row[theirs]) != row[theirs]:
            raise RequestError(f"{where}: found '{ours}' and '{theirs}', expected one of them")
        del row[theirs]
    _check_id(row.get("item_id"), f"{where}.item_id")
    if "image" in row:
        raise RequestError(
            f"{where}.image: found a path, expected the picture itself, in 'picture' as base64"
        )
    if item.picture is not None:
        row["image"] = _kept(item.picture, f"{where}.picture", folder)
    return row


def _check_id(value: object, where: str) -> None:
    """Refuse an invalid id; an id under the name of the fitted file has passed no schema."""
    if value is None:
        raise RequestError(f"{where}: field required")
    known = plain(value)
    if known is None or (isinstance(known, str) and len(known) > limits.ID):
        raise RequestError(
            f"{where}: expected a whole number, or text of at most {limits.ID} characters"
        )


def _kept(data: bytes, where: str, folder: Path) -> str:
    """Keep a picture under the name of its hash, and return that."""
    try:
        read_picture(data, SIDE)
    except PictureProblem as problem:
        raise RequestError(
            f"{where}: {problem.kind}, expected a picture of at most {MAX_PIXELS:,} pixels"
        ) from None
    from PIL import Image

    with Image.open(BytesIO(data)) as picture:
        suffix = _SUFFIXES.get(picture.format or "", ".bin")
    name = sha256(data).hexdigest() + suffix
    if not (folder / name).exists():
        with new_file(folder / name) as draft:
            draft.write_bytes(data)
    return name


def _vectors(modality: str, data: bytes, asked: AddRequest) -> Embeddings:
    """Read a .npy file of one row an item; a row of NaN is an item without the modality."""
    where = f"embeddings.{modality}"
    n = len(asked.items)
    stream = BytesIO(data)
    try:
        read = _HEADERS[np.lib.format.read_magic(stream)]
        shape, by_columns, kind = read(stream)
    except (ValueError, KeyError):
        raise RequestError(f"{where}: expected a .npy file of floats") from None
    # The header is believed only where the bytes are there: it could promise any size.
    rest = len(data) - stream.tell()
    if kind.kind != "f" or len(shape) != 2 or shape[0] != n or by_columns:
        raise RequestError(
            f"{where}: found {kind} {list(shape)}, expected floats by rows, one for each of {n}"
            " items"
        )
    if rest != n * shape[1] * kind.itemsize or not shape[1]:
        raise RequestError(
            f"{where}: found {rest:,} bytes of values, expected what its header says"
        )
    found = np.frombuffer(data, kind, offset=stream.tell()).reshape(shape)
    present = ~np.isnan(found).any(axis=1)
    with np.errstate(over="ignore"):  # infinity is refused with the catalogue's other checks
        vectors = np.where(present[:, None], found, 0).astype(np.float32)
    return Embeddings(vectors, present)
