"""The data: a catalogue, a log, and whatever is ready-made, by index; ids stay at the border."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mgrec.configs import Source
from mgrec.cores import check_process
from mgrec.data import interactions, reading, unread, unused
from mgrec.data import items as catalogue
from mgrec.data.columns import texts
from mgrec.data.features import Codes, Embeddings
from mgrec.data.fingerprint import Fingerprint
from mgrec.data.keys import key
from mgrec.data.notes import Notebook, ReadNotes
from mgrec.data.reading import Found
from mgrec.data.ready import Given
from mgrec.data.sequences import Sequences
from mgrec.errors import DataError

__all__ = ["Dataset", "ReadNotes"]

# A Polars (lazy) or pandas frame; pandas is no dependency, so its type cannot be written down.
Frame = Any


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """A catalogue and a log, as `read` or `from_frames` make them.

    Items and users are numbered from 0 by their row in ``items`` and ``users``; everything below
    the public face works on these indices.

    Attributes
    ----------
    items : polars.DataFrame
        Row = item index. Columns: ``item_id``, those of the text, ``image`` (path relative to
        ``root``, null where there is none or its file is missing), attributes.
    users : Series
        User ids; row = user index, in the order in which they first appear.
    log : Sequences
        Row = user index; item indices, oldest first. Every user has at least one.
    times : int64 [interactions] or None
        Unix seconds beside ``log.items``; None where the file's order is all there is.
    root : Path or None
        The folder that picture paths are relative to.
    text_columns : tuple of str
        Columns that make up an item's text, in this order.
    embeddings, codes : mapping
        Ready-made, by modality, row = item index.
    notes : ReadNotes
        What was read, left out and warned of.
    columns : mapping
        The items file's name for each renamed column.
    """

    items: pl.DataFrame
    users: pl.Series
    log: Sequences
    times: NDArray[np.int64] | None
    root: Path | None
    text_columns: tuple[str, ...]
    embeddings: Mapping[str, Embeddings]
    codes: Mapping[str, Codes]
    notes: ReadNotes
    columns: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(
        cls,
        path: str | Path,
        *,
        columns: Mapping[str, str] | None = None,
        text_columns: Sequence[str] | None = None,
    ) -> Dataset:
        """Read a folder.

        ``items.{parquet,csv,jsonl}`` (optional), ``interactions.{parquet,csv,jsonl}`` or
        ``sequences.txt`` (``user item item ...``, oldest first), each also as ``.gz``;
        ``embeddings/<modality>.npz`` (``item_id``, ``emb``) and ``codes/<modality>.npz``
        (``item_id``, ``codes``), or ``.npy`` (a row for each item, in the order of ``items``) or
        ``.parquet`` (``item_id`` and a column of lists). Without items, the catalogue is the items
        of the log.

        Parameters
        ----------
        path : str or Path
        columns : mapping, optional
            The files' column name for each of ours: ``{"user_id": "uid"}``. Ours are ``item_id,
            user_id, timestamp, weight, event, text, image``. ``items.item_id`` and
            ``interactions.item_id`` name a column of one file.
        text_columns : sequence of str, optional
            Columns that make up an item's text, joined by ". ". By default ``text``; without such
            a column, those of ``title, name, description, brand, categories`` that exist.

        Raises
        ------
        DataError
            For anything malformed, in one line: file, row, column, what was found, what was
            expected. What is only left out (rows of unknown items, say) is in ``notes``.
        """
        check_process()
        root = Path(path)
        return cls._of(reading.folder(root, columns), text_columns, root)

    @classmethod
    def from_frames(
        cls,
        items: Frame | None,
        interactions: Frame,
        *,
        columns: Mapping[str, str] | None = None,
        text_columns: Sequence[str] | None = None,
        embeddings: Mapping[str, Given] | None = None,
        codes: Mapping[str, Given] | None = None,
        root: str | Path | None = None,
    ) -> Dataset:
        """Take Polars or pandas frames; see `read`.

        Parameters
        ----------
        items, interactions : DataFrame
            The columns of `read`'s files; ``items`` may be None. A pandas index is ignored. A
            dict of columns or a list of dicts is accepted too.
        columns, text_columns
            See `read`.
        embeddings : mapping, optional
            By modality: ``(item_ids, floats [rows, dim])``, or a row for each row of ``items``:
            an array or tensor [items, dim], or `Embeddings`. Also a frame with ``item_id`` and a
            column of lists, or a dict of item id -> vector.
        codes : mapping, optional
            By modality: the same with integers [rows, levels], or `Codes`.
        root : str or Path, optional
            The folder that picture paths are relative to.

        Raises
        ------
        DataError
            See `read`.
        """
        check_process()
        found = reading.frames(items, interactions, columns, embeddings, codes)
        return cls._of(found, text_columns, None if root is None else Path(root))

    @classmethod
    def _of(cls, found: Found, text_columns: Sequence[str] | None, root: Path | None) -> Dataset:
        """Check everything against the catalogue; the order is that of the notes."""
        notes = Notebook()
        read = None
        if found.items is not None:
            read = catalogue.read(found.items, text_columns, root, notes)
        elif text_columns:
            raise DataError(f"text columns {', '.join(text_columns)}: there is no items file")
        ids = read[0]["item_id"] if read else None
        for table in (found.items, found.log):
            if table is not None:
                unused.about_values(table, notes)
        unused.check_ids(found.log, found.mapped, found.items, ids, notes)
        unused.about_moments(found.log, notes)
        taken = interactions.read(found.log, ids, notes)
        known = taken.catalogue
        items, written = read or (pl.DataFrame({"item_id": known}), ())
        vectors = {m: reading.ready_embeddings(found, m, known, notes) for m in found.embeddings}
        codes = {m: reading.ready_codes(found, m, known, notes) for m in found.codes}
        if found.files is not None and root is not None:
            images = items["image"] if "image" in items.columns else None
            unread.about(root, found.files, images, notes)
        return cls(
            items,
            taken.users,
            taken.sequences,
            taken.times,
            root,
            written,
            vectors,
            codes,
            notes.close(),
            {} if found.items is None else found.items.renames,
        )

    def __repr__(self) -> str:
        return (
            f"Dataset({self.n_items:,} items, {self.n_users:,} users,"
            f" {len(self.log.items):,} interactions; {', '.join(self.modalities) or 'no content'})"
        )

    @property
    def n_items(self) -> int:
        return len(self.items)

    @property
    def n_users(self) -> int:
        return len(self.users)

    @cached_property
    def _texts(self) -> pl.Series:
        return texts(self.items, self.text_columns)

    def encodable(self, modality: str) -> bool:
        """Whether there are texts or pictures to encode."""
        if modality == "text":
            return self._texts.null_count() < self.n_items
        return modality == "image" and "image" in self.items and bool(self.items["image"].count())

    @property
    def modalities(self) -> tuple[str, ...]:
        """What is known of items, from words, pictures or ready-made arrays; text, image first."""
        ready = {*self.embeddings, *self.codes}
        first = [m for m in ("text", "image") if m in ready or self.encodable(m)]
        return (*first, *sorted(ready - {"text", "image"}))

    def present(self, modality: str) -> NDArray[np.bool_]:
        """Return bool [items]: which items have a modality, in its most finished form."""
        if modality in self.codes:
            return self.codes[modality].present
        if modality in self.embeddings:
            return self.embeddings[modality].present
        given = self.texts() if modality == "text" else self.pictures()
        return np.array([value is not None for value in given], bool)

    def texts(self) -> list[str | None]:
        """Return every item's text, None where it has none."""
        return self._texts.to_list()

    def pictures(self) -> list[Path | None]:
        """Return every item's picture file, None where it has none."""
        if "image" not in self.items or self.root is None:
            return [None] * self.n_items
        root = self.root
        return [None if path is None else root / path for path in self.items["image"]]

    def source_of(self, modality: str, wanted: Source) -> Literal["codes", "embeddings", "encode"]:
        """Return what a modality comes from; ``auto`` takes the most finished thing present.

        Raises
        ------
        DataError
            If what is wanted is not there.
        """
        there: list[Literal["codes", "embeddings", "encode"]] = []
        if modality in self.codes:
            there.append("codes")
        if modality in self.embeddings:
            there.append("embeddings")
        if self.encodable(modality):
            there.append("encode")
        if wanted == "auto" and there:
            return there[0]
        for source in there:
            if source == wanted:
                return source
        found = ", ".join(there) or f"nothing (this data has {', '.join(self.modalities) or 'no'})"
        need = {
            "encode": "texts or pictures to encode",
            "embeddings": f"embeddings/{modality}.npz",
            "codes": f"codes/{modality}.npz",
            "auto": f"texts or pictures, embeddings/{modality}.npz or codes/{modality}.npz",
        }[wanted]
        raise DataError(f"modality '{modality}': found {found}, expected {need}")

    @cached_property
    def _item_index(self) -> dict[object, int]:
        return {item: index for index, item in enumerate(self.items["item_id"])}

    def index_of(self, ids: Sequence[object]) -> NDArray[np.int64]:
        """Return int64 [ids]: the index of each item, -1 where it is unknown.

        ``"7"`` finds 7 in a catalogue of whole numbers, and 7 finds ``"7"`` in one of text.
        """
        known, dtype = self._item_index, self.items.schema["item_id"]
        return np.fromiter((known.get(key(i, dtype), -1) for i in ids), np.int64, len(ids))

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over everything that training can see.

        Ids, log, times, texts, names and sizes of pictures, ready-made arrays; not attributes,
        and not where the folder is.
        """
        parts = Fingerprint()
        for column in (self.items["item_id"], self.users, self._texts):
            parts.column(column)
        times = np.empty(0, np.int64) if self.times is None else self.times
        for array in (self.log.offsets, self.log.items, times):
            parts.array(array)
        if self.root is not None and "image" in self.items:
            parts.files(self.root, self.items["image"])
        for name, vectors in sorted(self.embeddings.items()):
            parts.word(f"embeddings {name}")
            parts.array(vectors.vectors)
            parts.array(vectors.present)
        for name, codes in sorted(self.codes.items()):
            parts.word(f"codes {name} {codes.sizes}")
            parts.array(codes.codes)
            parts.array(codes.present)
        return parts.hex()
