"""From the original Amazon 2014 files to a data folder; what was done already is not done again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from mgrec.content.downloads import Pictures, gather, mirror
from mgrec.content.fetching import Limits
from mgrec.data import amazon, tables
from mgrec.errors import DataError, RequestError
from mgrec.files import check_file
from mgrec.folders import new_file, storing

ITEMS, LOG, BROKEN = "items.parquet", "interactions.parquet", "broken_pictures.csv"
_IMAGES = "images"
_ROW: dict[str, type[pl.DataType] | pl.DataType] = {
    "title": pl.String,
    "description": pl.String,
    "brand": pl.String,
    "categories": pl.List(pl.String),
    "price": pl.Float64,
    "link": pl.String,
}


@dataclass(frozen=True)
class Conversion:
    """What a conversion came to.

    Attributes
    ----------
    out : Path
    counts : mapping
        Users, items, interactions and so on; a warning's count is there where it is not zero.
    broken : mapping
        Why items have no picture -> how many.
    warnings : tuple of str
        What was left out or looks wrong.
    """

    out: Path
    counts: Mapping[str, int]
    broken: Mapping[str, int]
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        return {
            "out": str(self.out),
            "counts": dict(self.counts),
            "broken_pictures": dict(self.broken),
            "warnings": list(self.warnings),
        }

    def to_text(self) -> str:
        n = self.counts
        lines = [
            f"{self.out}: {n['users']:,} users, {n['items']:,} items,"
            f" {n['interactions']:,} interactions of {n['reviews']:,} reviews",
            f"pictures: {n['pictures']:,} of {n['items']:,} items, {n['fetched']:,} of them new",
        ]
        if self.broken:
            lines.append(f"without a picture ({BROKEN} lists them):")
            lines += [f"  {count:>7,}  {reason}" for reason, count in self.broken.items()]
        return "\n".join([*lines, f"Next: mgrec check {self.out}"])


def convert_amazon(
    reviews: Path,
    meta: Path,
    out: Path,
    *,
    images: Path | None = None,
    core: int = 5,
    limits: Limits | None = None,
    drop_without_picture: bool = False,
) -> Conversion:
    """Convert the original files of Amazon Reviews 2014 (McAuley) into a data folder.

    Parameters
    ----------
    reviews, meta : Path
        Reviews and metadata of one category, plain or gzipped, lines of JSON or Python literals.
    out : Path
        Gets ``items.parquet``, ``interactions.parquet``, ``broken_pictures.csv`` and ``images``.
        The interactions are written last: a folder that has them is whole.
    images : Path, optional
        Where pictures lie or are to go, one an item, called by its id; by default in ``out``.
        From elsewhere, ``out`` gets links to the same bytes, or copies on another disk.
    core : int
        Users and items with fewer reviews are left out, until none is left that has fewer.
    limits : Limits, optional
        Of downloading; without, only pictures that are there already are taken.
    drop_without_picture : bool
        Leave out items without a picture, as the paper does, and take the core again.

    Raises
    ------
    DataError
        If a file cannot be read, a review is malformed, nothing is left, or ``out`` has other
        data in it.
    RequestError
        If ``core`` is below 1.
    """
    if core < 1:
        raise RequestError(f"core: found {core}, expected at least 1")
    _check_place(out)
    amazon.check_year(meta)
    read = amazon.read_reviews(reviews)
    log = amazon.core(read.log, core)
    _refuse_empty(log, f"{reviews.name}: {len(read.log):,} reviews", core)
    ids = _present(log, read.items)
    known = amazon.read_metadata(meta, set(ids))
    links = {item: known.items.get(item, {}).get("link") for item in ids}
    folder = out / _IMAGES if images is None else images
    with storing(folder):
        pictures = gather(links, folder, limits)
    if drop_without_picture:
        pictured = read.items.is_in(list(pictures.files))
        numbers = pl.Series(range(len(pictured)), dtype=pl.UInt32).filter(pictured)
        log = amazon.core(log.filter(pl.col("item").is_in(numbers.implode())), core)
        _refuse_empty(log, f"{folder}: {len(pictures.files):,} pictures", core)
        ids = _present(log, read.items)
    with storing(out):
        shown = _placed(pictures.files, ids, folder, out)
    _write(out, _items(ids, known.items, shown), _log(log, read), _broken(pictures, links))
    counts = {
        "reviews": len(read.log),
        "users": log["user"].n_unique(),
        "items": len(ids),
        "interactions": len(log),
        "pictures": len(shown),
        "fetched": pictures.fetched,
        "dropped_without_picture": len(links) - len(ids),
    }
    warned = _warned(log, known, ids, meta.name)
    more = {name: count for name, (count, _) in warned.items()}
    sentences = tuple(sentence for _, sentence in warned.values())
    return Conversion(out, counts | more, pictures.reasons(), sentences)


def _check_place(out: Path) -> None:
    """Raise if the folder holds a log or a catalogue that is not ours to replace."""
    if out.exists() and not out.is_dir():
        raise DataError(f"{out}: found a file, expected a folder, or nothing yet")
    for name in (ITEMS, LOG, BROKEN):
        check_file(out / name)
    for file in ("manifest.json", "grid.json"):  # of an artifact, of a comparison
        if (out / file).exists():
            raise DataError(f"{out}: found {file} of another command, expected a folder of its own")
    names = {"items": tables.KINDS, "interactions": tables.KINDS, "sequences": ("txt",)}
    for name, kinds in names.items():
        for file in (f"{name}.{kind}{gz}" for kind in kinds for gz in ("", ".gz")):
            if file not in (ITEMS, LOG) and (out / file).exists():
                raise DataError(f"{out}: found {file}, expected a folder without other data")


def _refuse_empty(log: pl.DataFrame, source: str, core: int) -> None:
    if log.is_empty():
        raise DataError(
            f"{source}, but no user and item among them with {core} each:"
            f" found an empty {core}-core, expected more data or a smaller --core"
        )


def _present(log: pl.DataFrame, items: pl.Series) -> list[str]:
    """Return the ids of a log's items, in the order in which they first appear."""
    return items.gather(log["item"].unique(maintain_order=True)).to_list()


def _placed(files: Mapping[str, str], ids: list[str], folder: Path, out: Path) -> dict[str, str]:
    """Bring the pictures of items into ``out``; returns item id -> path below it."""
    kept = {item: files[item] for item in ids if item in files}
    if folder.resolve().is_relative_to(out.resolve()):
        below = folder.resolve().relative_to(out.resolve())
        return {item: (below / name).as_posix() for item, name in kept.items()}
    mirror(kept.values(), folder, out / _IMAGES)
    return {item: f"{_IMAGES}/{name}" for item, name in kept.items()}


def _items(
    ids: list[str], known: Mapping[str, Mapping[str, Any]], shown: Mapping[str, str]
) -> pl.DataFrame:
    """Return the catalogue, a row an item; the order is that of ``ids``."""
    rows = [known.get(item, dict.fromkeys(_ROW)) for item in ids]
    columns = {
        name: pl.Series([row[name] for row in rows], dtype=kind)
        for name, kind in _ROW.items()
        if name != "link"
    }
    image = pl.Series([shown.get(item) for item in ids], dtype=pl.String)
    return pl.DataFrame({"item_id": pl.Series(ids, dtype=pl.String), **columns, "image": image})


def _log(log: pl.DataFrame, read: amazon.Reviews) -> pl.DataFrame:
    """Return the interactions by their ids, in the file's order."""
    return log.select(
        read.users.gather(log["user"]).alias("user_id"),
        read.items.gather(log["item"]).alias("item_id"),
        "timestamp",
    )


def _broken(pictures: Pictures, links: Mapping[str, str | None]) -> pl.DataFrame:
    """Return the items of the first core without a picture, their links and the reasons."""
    rows = [(item, links[item], reason) for item, reason in pictures.problems.items()]
    names = {"item_id": pl.String, "link": pl.String, "reason": pl.String}
    return pl.DataFrame(rows, schema=names, orient="row")


def _write(out: Path, items: pl.DataFrame, log: pl.DataFrame, broken: pl.DataFrame) -> None:
    with storing(out):
        out.mkdir(parents=True, exist_ok=True)
        # The log of an earlier conversion would belong to other items if this were killed here.
        (out / LOG).unlink(missing_ok=True)
    with new_file(out / BROKEN) as draft:
        broken.write_csv(draft)
    for name, frame in ((ITEMS, items), (LOG, log)):
        with new_file(out / name) as draft:
            frame.write_parquet(draft)


def _warned(
    log: pl.DataFrame, known: amazon.Metadata, ids: list[str], name: str
) -> dict[str, tuple[int, str]]:
    """Return what is worth a warning: its count and a sentence, by name."""
    repeated = amazon.repeats(log)
    unknown = sum(item not in known.items for item in ids)
    found = {
        "repeated_reviews": (
            repeated,
            f"reviews of an item that the same user reviewed before, kept: {repeated:,}",
        ),
        "rejected_metadata": (
            known.rejected,
            f"{name}: lines that are no record, passed over: {known.rejected:,}"
            f" (first: {known.first_rejected})",
        ),
        "repeated_metadata": (
            known.repeated,
            f"{name}: further lines of items it had already, passed over: {known.repeated:,}",
        ),
        "items_without_metadata": (
            unknown,
            f"items that {name} says nothing of, kept without a text: {unknown:,}",
        ),
    }
    return {key: (count, sentence) for key, (count, sentence) in found.items() if count}
