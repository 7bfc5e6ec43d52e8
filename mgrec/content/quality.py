"""Quality of content: texts that an encoder cannot read, and content that many items share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mgrec.content.contracts import Encoder
from mgrec.content.pictures import PictureProblem, picture_key
from mgrec.data.arrays import is_many, largest_group
from mgrec.data.features import Embeddings
from mgrec.data.tables import short

UNREAD = 1 / 3  # least share of unknown tokens for a text to count as unread
RARE = 0.01  # share of unread texts below which there is no warning
SAMPLE = 20_000  # texts that are checked


class Vocabulary(Protocol):
    """A text encoder that can count the tokens of a text that it does not know."""

    def unknown(self, texts: Sequence[str]) -> NDArray[np.float64] | None:
        """Return the share of unknown tokens, [texts]; None if it cannot be counted."""
        ...


def unread(texts: Sequence[str | None], encoder: Encoder[Any]) -> tuple[str, ...]:
    """Warn of texts that consist mostly of tokens that the encoder does not know.

    Parameters
    ----------
    texts : [items], None where there is none; of more than `SAMPLE`, a sample is checked
    encoder : without `Vocabulary.unknown` there is no warning
    """
    there = [text for text in texts if text is not None]
    some = there[:: -(-len(there) // SAMPLE) or 1]
    count = getattr(encoder, "unknown", None)
    shares = count(some) if count is not None and some else None
    if shares is None:
        return ()
    rows = np.flatnonzero(shares >= UNREAD)
    if not len(rows) or len(rows) < RARE * len(some):
        return ()
    of = f"{len(some):,}" if len(some) == len(there) else f"a sample of {len(some):,}"
    return (
        f"text: {len(rows):,} of {of} texts are in words that the text encoder '{encoder.name}'"
        f" does not know, e.g. {short(some[int(rows[0])])}: their vectors carry little information."
        " Set -s content.text_encoder=... to the name or folder of a multilingual model, such as"
        " paraphrase-multilingual-MiniLM-L12-v2",
    )


def shared(
    modality: str, keys: Sequence[Hashable | None], examples: Sequence[Any]
) -> tuple[str, ...]:
    """Warn if many items share the same text or picture.

    Parameters
    ----------
    keys : [items], equal for equal content; None where there is none
    examples : [items], the content itself, or a picture's path
    """
    counts = Counter(key for key in keys if key is not None)
    if not counts:
        return ()
    key, most = counts.most_common(1)[0]
    total = sum(counts.values())
    if not is_many(most, total):
        return ()
    first = examples[keys.index(key)]
    shown = first.name if isinstance(first, Path) else short(first) if modality == "text" else "one"
    return (
        f"{modality}: {most:,} of {total:,} items have the same {modality} ({shown}): is it"
        " a placeholder? The model cannot tell these items apart by it",
    )


def collapsed(
    modality: str, keys: Sequence[Hashable | None], embeddings: Embeddings
) -> tuple[str, ...]:
    """Warn if an encoder gave the same vector to many different contents."""
    same = largest_group(embeddings)
    different = len({keys[row] for row in same.tolist()})
    if not is_many(different, int(embeddings.present.sum())):
        return ()
    return (
        f"{modality}: {different:,} different contents have the same vector: the encoder"
        " cannot tell them apart; try another encoder",
    )


def shared_pictures(pictures: Sequence[Path | None]) -> tuple[str, ...]:
    """Warn of identical picture files; only files of the most frequent size are compared."""
    sizes = [None if picture is None else _size(picture) for picture in pictures]
    counts = Counter(size for size in sizes if size is not None)
    if not counts:
        return ()
    common = counts.most_common(1)[0][0]
    keys: list[Hashable | None] = []
    for row, (picture, size) in enumerate(zip(pictures, sizes, strict=True)):
        try:
            same = picture is not None and size == common
            keys.append(picture_key(picture) if same and picture else row)
        except PictureProblem:
            keys.append(row)
    keys = [None if size is None else key for key, size in zip(keys, sizes, strict=True)]
    return shared("image", keys, pictures)


def _size(picture: Path) -> int | None:
    try:
        return picture.stat().st_size
    except OSError:
        return None
