"""New items, as a catalogue's own encoders and codebooks see them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from mgrec.catalogue import FUSED, Catalogue
from mgrec.configs import ContentConfig
from mgrec.content.contracts import Content, Encoder, EncoderIdentity
from mgrec.content.encoders import check_consent, image_encoder, text_encoder
from mgrec.content.encoding import encode_pictures, encode_texts
from mgrec.data import items, tables, unused
from mgrec.data import ready as ready_made
from mgrec.data.columns import texts
from mgrec.data.features import Codes, Embeddings
from mgrec.data.mapping import separated
from mgrec.data.notes import Notebook
from mgrec.data.rows import as_in, may_widen
from mgrec.data.tables import Table, short
from mgrec.errors import DataError, RecipeError, nearest
from mgrec.ids.standardise import fused
from mgrec.progress import say

Ready = Mapping[str, ready_made.Given]
EncoderOf = Callable[[str, str], Encoder[Any]]  # modality and name -> encoder


@dataclass(frozen=True, eq=False)
class Newcomers:
    """Items that are to join a catalogue, everything known of them.

    Attributes
    ----------
    items : polars.DataFrame, in the catalogue's types; ``image`` relative to `root`, or absolute
    root : the folder of their pictures
    vectors : by modality, standardised as the catalogue's are
    codes : by block
    problems : what went wrong with single items' content, in words
    """

    items: pl.DataFrame
    root: Path | None
    vectors: Mapping[str, Embeddings]
    codes: Mapping[str, Codes]
    problems: tuple[str, ...] = ()


def encoder_of(modality: str, name: str) -> Encoder[Any]:
    """Return the encoder of a modality by its name; see `text_encoder` and `image_encoder`."""
    return text_encoder(name) if modality == "text" else image_encoder(name)


def ready_in(folder: Path, catalogue: Catalogue) -> Ready:
    """Read ready-made vectors, or codes where a catalogue has only codes, one file a modality.

    Parameters
    ----------
    folder : of ``<modality>.npz`` files (``item_id``, and ``emb`` or ``codes``), ``.npy`` or
        ``.parquet``, as in a data folder

    Raises
    ------
    DataError
        If there is no such file, or one is not whole.
    """
    bare = catalogue.codes.keys() - catalogue.vectors.keys() - {FUSED}
    item_id = catalogue.columns.get("item_id", "item_id")
    found = ready_made.in_folder(folder, lambda m: "codes" if m in bare else "emb", item_id)
    passed = ready_made.unread(folder, ready_made.files(folder).values())
    if not found:
        there = short(", ".join(passed), 100) if passed else "no files"
        raise DataError(f"{folder}: found {there}, expected such as text.npz")
    if passed:
        say(f"warning: {folder}: not read: {short(', '.join(passed), 200)}")
    return found


def newcomers(
    catalogue: Catalogue,
    given: pl.DataFrame | Path | str,
    config: ContentConfig,
    *,
    ready: Ready | None = None,
    folder: Path | str | None = None,
    encoder: EncoderOf = encoder_of,
    encoders: Collection[str] = (),
    cache: Path | None = None,
) -> Newcomers:
    """Read, encode, standardise and quantise new items; nothing is fitted.

    Parameters
    ----------
    catalogue : to add the items to
    given : a frame, or a parquet, csv or jsonl file, with the columns of the catalogue's items,
        with our names or those of the fitted file
    config : which encoders the catalogue was made with
    ready : by modality, ready-made vectors, or codes where the catalogue has nothing else
    folder : that picture paths are relative to; a file's own folder if not named
    encoder : gives an encoder; one that is loaded already saves the loading
    encoders : names of encoders that may be loaded, see `check_consent`
    cache : where encoded vectors are kept

    Raises
    ------
    DataError
        If something is malformed, known already, or ready-made content is missing or misshapen.
    RecipeError
        If the encoder here is not the one that the catalogue was made with.
    """
    ready = ready_made.by_modality(ready, "embeddings")
    table = _table(given, catalogue)
    if folder is None and isinstance(given, str | Path):
        folder = Path(given).parent
    root = None if folder is None else Path(folder).resolve()
    notes = Notebook()
    rows, written = _rows(table, catalogue, root, notes)
    known = dict.fromkeys([*catalogue.vectors, *(c for c in catalogue.codes if c != FUSED)])
    for name in ready:
        if name not in known:
            raise DataError(f"embeddings of '{name}': expected one of {', '.join(known)}")
    raw: dict[str, Embeddings] = {}
    problems = list(notes.warnings)
    for modality in catalogue.vectors:
        if modality in ready:
            raw[modality] = _embeddings(ready[modality], modality, rows)
        elif (made_with := catalogue.encoders.get(modality)) is not None:
            name = config.text_encoder if modality == "text" else config.image_encoder
            check_consent(modality, name, made_with, encoders, cache)
            maker = encoder(modality, name)
            _check_same(maker, made_with, modality)
            content = _encoded(modality, rows, written, root, maker, config.batch, cache)
            problems += content.problems
            raw[modality] = content.embeddings
        else:
            _check_bare(rows, modality, written, "embeddings")
            dim = len(catalogue.scalers[modality].mean)
            raw[modality] = Embeddings(
                np.zeros((len(rows), dim), np.float32), np.zeros(len(rows), bool)
            )
        expected = len(catalogue.scalers[modality].mean)
        if raw[modality].dim != expected:
            raise DataError(
                f"embeddings of '{modality}': found {raw[modality].dim} dimensions,"
                f" expected {expected}, as the catalogue's are"
            )
    vectors = {name: catalogue.scalers[name].apply(e) for name, e in raw.items()}
    blocks = {FUSED: fused(vectors)} if FUSED in catalogue.codes else vectors
    codes = {
        name: catalogue.quantisers[name].encode(blocks[name])
        if name in catalogue.quantisers
        else _codes(ready.get(name), have, name, rows, written)
        for name, have in catalogue.codes.items()
    }
    return Newcomers(_placed(rows, catalogue, root), root, vectors, codes, tuple(problems))


def _table(given: pl.DataFrame | Path | str, catalogue: Catalogue) -> Table:
    """Read items whose columns have our names, or those of the fitted file."""
    columns = catalogue.columns
    ids = {"item_id", columns.get("item_id", "item_id")}
    if isinstance(given, str | Path):
        path = Path(given)
        kind = Path(path.name.removesuffix(".gz")).suffix[1:]
        if kind not in tables.KINDS:
            raise DataError(f"{path}: expected a parquet, csv or jsonl file")
        if kind == "csv":  # text of the catalogue stays text: 007 would become 7
            words = [c for c, dtype in catalogue.items.schema.items() if dtype == pl.String]
            ids |= {name for column in words for name in (column, columns.get(column, column))}
        table = tables.read(path, ids)
    else:
        table = tables.of_frame(given, "items", ids)
    table = table.renamed(columns)
    if "item_id" not in table.frame.columns:
        known = table.frame.columns
        missing = f"'{columns['item_id']}' or 'item_id'" if "item_id" in columns else "'item_id'"
        hint = separated([table]) or nearest(columns.get("item_id", "item_id"), known)
        raise DataError(
            f"{table.name}: no column {missing}, found {short(', '.join(known), 200)}.{hint}"
        )
    return table


def _rows(
    table: Table, catalogue: Catalogue, root: Path | None, notes: Notebook
) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Read the rows in the catalogue's types, and which of their columns make up the text."""
    known, schema = catalogue.items["item_id"], catalogue.items.schema
    written = catalogue.text_columns or items.written_in(catalogue.items.columns)
    unused.about_values(table, notes)
    absent = [column for column in written if column not in table.frame.columns]
    frame = table.frame.with_columns(
        pl.lit(None, schema[column]).alias(column) for column in absent
    )
    rows, _ = items.read(
        replace(table, frame=frame),
        written,
        root,
        notes,
        like=known,
    )
    # A new column of nothing would fix its type before anybody knows it.
    rows = rows[[c for c, kind in rows.schema.items() if kind != pl.Null or c in schema]]
    rows = as_in(rows, schema, table.place, written, _widening(catalogue, rows))
    place = catalogue.index_of(rows["item_id"])
    listed = place >= 0
    listed[listed] = catalogue.listed[place[listed]]
    if listed.any():
        row = int(listed.argmax())
        raise DataError(
            f"{table.place(row, 'item_id')}: found {short(rows['item_id'][row])}, which the"
            " catalogue has already, expected new items (or such as were removed)"
        )
    return rows, written


def _embeddings(given: ready_made.Given, modality: str, rows: pl.DataFrame) -> Embeddings:
    name = f"embeddings of '{modality}'"
    if isinstance(given, Codes):
        raise DataError(f"{name}: found codes, expected vectors, as the catalogue was made of")
    return ready_made.embeddings(given, rows["item_id"], name, "the new items")[0]


def _codes(
    given: ready_made.Given | None,
    have: Codes,
    modality: str,
    rows: pl.DataFrame,
    written: tuple[str, ...],
) -> Codes:
    """Return ready-made codes in the catalogue's sizes; without any, the block is missing."""
    name = f"codes of '{modality}'"
    if given is None:
        _check_bare(rows, modality, written, "codes")
        nothing = np.zeros((len(rows), have.levels), np.int32)
        return Codes(nothing, np.zeros(len(rows), bool), have.sizes)
    if isinstance(given, Embeddings):
        raise DataError(f"{name}: found vectors, expected codes, as the catalogue was made of")
    found, _ = ready_made.codes(given, rows["item_id"], name, "the new items")
    if found.levels != have.levels or (found.codes >= have.sizes).any():
        raise DataError(
            f"{name}: found {found.levels} levels up to code {int(found.codes.max())},"
            f" expected {have.levels} of sizes {have.sizes}, as the catalogue's are"
        )
    return Codes(found.codes, found.present, have.sizes)


def _check_bare(rows: pl.DataFrame, modality: str, written: tuple[str, ...], what: str) -> None:
    """Refuse content that nothing can encode: it would be lost without a word."""
    columns = {"text": written, "image": ("image",)}.get(modality, ())
    for column in columns:
        if column in rows.columns and rows[column].count():
            raise DataError(
                f"{modality}: the catalogue was made from ready-made {what}, found column"
                f" '{column}' and no {what} of the new items, expected {what} of '{modality}'"
            )


def _check_same(maker: Encoder[Any], made_with: EncoderIdentity, modality: str) -> None:
    if (maker.name, maker.revision) != (made_with.name, made_with.revision):
        raise RecipeError(
            f"{modality}: found encoder {maker.name} (revision {maker.revision}), expected the"
            f" artifact's own: {made_with.name} (revision {made_with.revision})"
        )


def _encoded(
    modality: str,
    rows: pl.DataFrame,
    written: tuple[str, ...],
    root: Path | None,
    maker: Encoder[Any],
    batch: int,
    cache: Path | None,
) -> Content:
    if modality == "text":
        return encode_texts(texts(rows, written).to_list(), maker, batch=batch, cache=cache)
    named = rows["image"].to_list() if "image" in rows.columns and root is not None else []
    pictures = [None if path is None or root is None else root / path for path in named]
    pictures = pictures or [None] * len(rows)
    return encode_pictures(pictures, maker, batch=batch, cache=cache)  # type: ignore[arg-type]


def _placed(rows: pl.DataFrame, catalogue: Catalogue, root: Path | None) -> pl.DataFrame:
    """Return rows whose pictures are found from the catalogue's folder as well."""
    if root is None or "image" not in rows.columns or catalogue.root in (None, root):
        return rows
    if catalogue.root is not None and catalogue.root.resolve() == root.resolve():
        return rows
    whole = [None if path is None else str((root / path).resolve()) for path in rows["image"]]
    return rows.with_columns(image=pl.Series(whole, dtype=pl.String))


def checked(new: Newcomers, catalogue: Catalogue) -> Newcomers:
    """Return new items in the types of another version of their catalogue.

    Raises
    ------
    DataError
        If a value does not fit the present type of its column.
    """
    rows = _placed(new.items, catalogue, new.root)

    def place(row: int, column: str) -> str:
        return f"item {rows['item_id'][row]!r}, column '{column}'"

    widening = _widening(catalogue, rows)
    return replace(new, items=as_in(rows, catalogue.items.schema, place, (), widening))


def _widening(catalogue: Catalogue, rows: pl.DataFrame) -> set[str]:
    """Return the columns of whole numbers that came with new items and may become fractions."""
    if catalogue.added is None:
        return set()
    fitted = catalogue.items.filter(~catalogue.added)
    later = {column for column in fitted.columns if not fitted[column].count()}
    return {
        column
        for column, kind in rows.schema.items()
        if column in later and may_widen(catalogue.items[column], kind)
    }
