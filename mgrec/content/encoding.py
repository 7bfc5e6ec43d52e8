"""Lists of texts or pictures to embeddings: each content once, through the cache."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from mgrec.content.cache import Key, VectorCache
from mgrec.content.contracts import Content, Encoder, EncoderIdentity, PictureEncoder
from mgrec.content.pictures import (
    Picture,
    PictureProblem,
    ahead,
    attempt,
    picture_key,
    quiet,
    read_picture,
)
from mgrec.content.quality import collapsed, shared, unread
from mgrec.data.features import Embeddings
from mgrec.errors import RecipeError
from mgrec.progress import bar

T = TypeVar("T")
Vectors = dict[Key, NDArray[np.float32]]  # each float32 [dim]


def encode_texts(
    texts: Sequence[str | None],
    encoder: Encoder[str],
    *,
    batch: int = 64,
    cache: Path | None = None,
) -> Content:
    """Encode texts; None and whitespace are missing. Equal texts are encoded once.

    Parameters
    ----------
    texts : sequence of str or None, [items]
    encoder : Encoder
        See `text_encoder`; its model is loaded only if the cache lacks something.
    batch : int
        How many contents the model reads at once.
    cache : Path, optional
        Where vectors are kept; by default ``$MGREC_CACHE`` or the user's cache folder.

    Raises
    ------
    RecipeError
        If the model cannot be loaded, or gives NaN or infinite numbers.
    """
    known_as = [given(text) for text in texts]
    keys = [None if text is None else hashlib.sha256(text.encode()).digest() for text in known_as]
    text_of = {key: text for key, text in zip(keys, known_as, strict=True) if key and text}
    store = VectorCache.of(cache, "text", encoder.name, encoder.revision)
    known = store.get(text_of.keys())
    # Alike in length, the texts of a batch need little padding. The longest go first, so that
    # the time left is not underestimated; equally long ones by key, so that batches repeat.
    unknown = sorted(text_of.keys() - known.keys(), key=lambda key: (-len(text_of[key]), key))
    with bar("encoding text", len(unknown), "texts") as progress, store.writing() as writer:
        for part in _parts(unknown, 2 * batch):
            vectors = _vectors(encoder, [text_of[key] for key in part], batch)
            writer.add(part, vectors)
            known.update(zip(part, vectors, strict=True))
            progress.advance(len(part))
    embeddings, identity = _rows(keys, known, encoder)
    problems = unread(known_as, encoder) or collapsed("text", keys, embeddings)
    return Content(embeddings, identity, (*problems, *shared("text", keys, known_as)))


def encode_pictures(
    pictures: Sequence[Picture | None],
    encoder: PictureEncoder,
    *,
    batch: int = 64,
    cache: Path | None = None,
) -> Content:
    """Encode pictures, from files or from bytes. Equal pictures are encoded once.

    One that cannot be read counts as missing and is told of in ``problems``.

    Parameters
    ----------
    pictures : sequence of Path, bytes or None, [items]
    encoder : PictureEncoder
        See `image_encoder`; its model is loaded only if the cache lacks something.
    batch, cache
        See `encode_texts`.

    Raises
    ------
    RecipeError
        As `encode_texts`.
    """
    with quiet():
        found = _picture_keys(pictures)
        picture_of: dict[Key, Picture] = {}
        for entry, picture in zip(found, pictures, strict=True):
            if isinstance(entry, bytes) and picture is not None:
                picture_of.setdefault(entry, picture)
        store = VectorCache.of(cache, "image", encoder.name, encoder.revision)
        known = store.get(picture_of.keys())
        unknown = {key: picture for key, picture in picture_of.items() if key not in known}
        fresh, broken = _encode_new(unknown, encoder, batch, store)
    known |= fresh
    found = [broken.get(entry, entry) if isinstance(entry, bytes) else entry for entry in found]
    keys = [entry if isinstance(entry, bytes) else None for entry in found]
    embeddings, identity = _rows(keys, known, encoder)
    same = shared("image", keys, pictures) + collapsed("image", keys, embeddings)
    return Content(embeddings, identity, (*_problems(found, pictures), *same))


def given(text: str | None) -> str | None:
    """Return a text without the whitespace around it, None where nothing is left."""
    if text is None or not (text := text.strip()):
        return None
    # Half a surrogate pair, as careless JSON may have it, has no UTF-8 and no tokeniser takes it.
    return text.encode("utf-8", "replace").decode()


def _picture_keys(pictures: Sequence[Picture | None]) -> list[Key | PictureProblem | None]:
    """Return every picture's key, or why it has none; None where there is no picture."""
    keys: list[Key | PictureProblem | None] = [None] * len(pictures)
    there = {row: picture for row, picture in enumerate(pictures) if picture is not None}
    with bar("reading pictures", len(there), "pictures") as progress:
        read = ahead(partial(attempt, picture_key), there.values())
        for row, key in zip(there, read, strict=True):
            keys[row] = key
            progress.advance()
    return keys


def _encode_new(
    pictures: Mapping[Key, Picture], encoder: PictureEncoder, batch: int, store: VectorCache
) -> tuple[Vectors, dict[Key, PictureProblem]]:
    """Return the vectors of pictures that the cache lacks, and what is wrong with the others."""
    fresh: Vectors = {}
    broken: dict[Key, PictureProblem] = {}
    read = ahead(partial(attempt, partial(read_picture, side=encoder.side)), pictures.values())
    with bar("encoding pictures", len(pictures), "pictures") as progress, store.writing() as writer:
        for part in _parts(zip(pictures, read, strict=True), batch):
            broken |= {key: found for key, found in part if isinstance(found, PictureProblem)}
            good = {key: found for key, found in part if not isinstance(found, PictureProblem)}
            if good:
                vectors = _vectors(encoder, list(good.values()), batch)
                writer.add(list(good), vectors)
                fresh.update(zip(good, vectors, strict=True))
            progress.advance(len(part))
    return fresh, broken


def _parts(of: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield lists of ``size``, the last one shorter."""
    rest = iter(of)
    while part := list(islice(rest, size)):
        yield part


def _vectors(encoder: Encoder[Any], contents: list[Any], batch: int) -> NDArray[np.float32]:
    """Return float32 [contents, dim], all finite."""
    vectors = encoder.encode(contents, batch)
    if not np.isfinite(vectors).all():
        raise RecipeError(
            f"encoder '{encoder.name}': found NaN or infinity in its vectors, expected numbers"
        )
    return vectors


def _rows(
    keys: Sequence[Key | None], known: Vectors, encoder: Encoder[Any]
) -> tuple[Embeddings, EncoderIdentity]:
    """Lay out vectors by item: [items, dim], zero where there is no key."""
    dim = len(next(iter(known.values()))) if known else encoder.dim
    vectors = np.zeros((len(keys), dim), np.float32)
    for row, key in enumerate(keys):
        if key is not None:
            vectors[row] = known[key]
    present = np.array([key is not None for key in keys], bool)
    identity = EncoderIdentity(encoder.name, encoder.revision, dim)
    return Embeddings(vectors, present), identity


def _problems(
    found: Sequence[Key | PictureProblem | None], pictures: Sequence[Picture | None]
) -> tuple[str, ...]:
    """Return a sentence for every kind of problem, the most frequent first."""
    rows: dict[str, list[int]] = {}
    for row, entry in enumerate(found):
        if isinstance(entry, PictureProblem):
            rows.setdefault(entry.kind, []).append(row)
    total = sum(entry is not None for entry in found)
    sentences = []
    for kind, concerned in sorted(rows.items(), key=lambda kind: -len(kind[1])):
        first = pictures[concerned[0]]
        example = first.name if isinstance(first, Path) else f"number {concerned[0] + 1}"
        sentences.append(
            f"image: {kind}: {len(concerned):,} of {total:,} pictures, e.g. {example};"
            " their items go on without a picture"
        )
    return tuple(sentences)
