"""Items that come by HTTP: their pictures become files, their vectors arrays."""

from __future__ import annotations

from hashlib import sha256
from io import BytesIO
from pathlib import Path

import numpy as np
import polars as pl

from mgrec.content.pictures import MAX_PIXELS, PictureProblem, read_picture
from mgrec.data.features import Embeddings
from mgrec.data.jsonl import first_of, stranger, type_of
from mgrec.data.tables import short
from mgrec.errors import RequestError
from mgrec.folders import new_file
from mgrec.serving.gallery import KINDS, UPLOADS
from mgrec.serving.live import Change, Live
from mgrec.serving.schemas import AddRequest, NewItem

_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
SIDE = 64  # pixels to which a picture is read when it is looked at only for whether it can be
_SUFFIXES = {kind.removeprefix("image/").upper(): suffix for suffix, kind in KINDS.items()}


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
    rows = [_row(item, place, folder) for place, item in enumerate(asked.items)]
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
            f" {type_of(first_of(values))}, as the items before"
        )
    return pl.Series(field, values, strict=False)


def _row(item: NewItem, place: int, folder: Path) -> dict[str, object]:
    where = f"items.{place}"
    row: dict[str, object] = {"item_id": item.item_id, **(item.model_extra or {})}
    if "image" in row:
        raise RequestError(
            f"{where}.image: found a path, expected the picture itself, in 'picture' as base64"
        )
    if item.picture is not None:
        row["image"] = _kept(item.picture, f"{where}.picture", folder)
    return row


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
    vectors = np.where(present[:, None], found, 0).astype(np.float32)
    if not np.isfinite(vectors).all():
        raise RequestError(f"{where}: found a value that is not finite")
    return Embeddings(vectors, present)
