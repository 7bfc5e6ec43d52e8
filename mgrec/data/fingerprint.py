"""A fingerprint of everything that training can see."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mgrec.data.blocks import spans


class Fingerprint:
    """A SHA-256 to which parts are added in a fixed order, each with its type and shape."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256(b"mgrec data 1")

    def column(self, column: pl.Series) -> None:
        """Add ids or texts; lengths are added first, so that no two columns look alike."""
        if column.dtype == pl.String:
            self.array(column.str.len_bytes().cast(pl.Int64).fill_null(-1).to_numpy())
            self._digest.update("".join(column.drop_nulls()).encode())
        else:
            self.array(column.to_numpy())

    def array(self, array: NDArray[Any]) -> None:
        """Add an array."""
        self._digest.update(f"{array.dtype.str} {array.shape}\n".encode())
        for span in spans(array):
            self._digest.update(np.ascontiguousarray(array[span]).data)

    def files(self, root: Path, paths: Iterable[str | None]) -> None:
        """Add names and sizes of files; one that has gone since has no size."""
        for path in paths:
            file = None if path is None else root / path
            size = file.stat().st_size if file is not None and file.is_file() else -1
            self._digest.update(f"{path}\0{size}\n".encode())

    def word(self, word: str) -> None:
        """Add a name."""
        self._digest.update(f"{word}\n".encode())

    def hex(self) -> str:
        return self._digest.hexdigest()
