"""What an encoder is, and what encoding gives back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from mgrec.data.features import Embeddings

ContentT = TypeVar("ContentT", contravariant=True)


class Encoder(Protocol[ContentT]):
    """Turns contents into vectors: texts (`str`) or prepared pictures (a PIL image).

    Attributes
    ----------
    name : str
    revision : str
        Changes whenever the same content may get another vector; known without loading weights.
    dim : int
        Length of a vector; may load the weights.
    """

    @property
    def name(self) -> str: ...

    @property
    def revision(self) -> str: ...

    @property
    def dim(self) -> int: ...

    def encode(self, contents: Sequence[ContentT], batch: int) -> NDArray[np.float32]:
        """Return float32 [contents, dim], at most ``batch`` contents at once."""
        ...


class PictureEncoder(Encoder[Any], Protocol):
    """Turns PIL images into vectors: RGB, ``side`` pixels wide and high."""

    @property
    def side(self) -> int: ...


@dataclass(frozen=True)
class EncoderIdentity:
    """Which encoder made some vectors."""

    name: str
    revision: str
    dim: int


@dataclass(frozen=True)
class Content:
    """One modality of every item, encoded.

    Attributes
    ----------
    embeddings : Embeddings
    encoder : EncoderIdentity
    problems : tuple of str
        One sentence a kind of problem, with its count and an example. The items concerned count
        as having no content in this modality.
    """

    embeddings: Embeddings
    encoder: EncoderIdentity
    problems: tuple[str, ...] = ()
