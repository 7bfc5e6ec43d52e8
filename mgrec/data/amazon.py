"""Amazon Reviews 2014, the original files: reviews and metadata in, our tables out.

Reviews are JSON lines, metadata are Python dict literals line by line; either file may also come
the other way ("strict" JSON or not), plain or gzipped. Memory holds two numbers and a moment a
review, and metadata only of the items asked for.
"""

from __future__ import annotations

import html
import math
import re
from array import array
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from mgrec.data.lines import Line, lines
from mgrec.data.literals import record
from mgrec.data.tables import short
from mgrec.errors import DataError, in_one_line

# A line whose ids are all of other items is not worth parsing, and most lines are: the core has
# every twentieth item. What is found within a text only costs the parsing.
_ASIN = re.compile(r"""['"]asin['"]\s*:\s*u?['"]([^'"]*)['"]""")
# What stands for a picture where there is none: "no image available", as a link like any other.
_PLACEHOLDER = re.compile(r"/no-img[-_]")
# Fields of metadata that the files of 2014 do not have.
_OTHER_YEARS = {
    "2023": ("parent_asin", "images", "features", "average_rating"),
    "2018": ("category", "image", "imageURL", "imageURLHighRes", "main_cat", "also_buy", "tech1"),
}
_TEXTS = ("title", "description", "brand", "price")
_REVIEW = "expected one whole review with reviewerID, asin and unixReviewTime"


@dataclass(frozen=True)
class Reviews:
    """Who reviewed what and when.

    Attributes
    ----------
    users, items : Series of String
        Ids by number, in the order in which they first appear.
    log : polars.DataFrame
        ``user``, ``item`` (numbers), ``timestamp`` (Unix seconds), in the file's order.
    """

    users: pl.Series
    items: pl.Series
    log: pl.DataFrame


@dataclass
class Metadata:
    """What the metadata say of the items asked for.

    Attributes
    ----------
    items : dict
        Item id -> title, description, brand, categories, price, link; None where not given.
    lines, repeated, rejected : int
        Lines read, further lines of the same items (the first counts), lines that are no record.
    first_rejected : str
        Where the first of those stands and what is wrong with it.
    """

    items: dict[str, dict[str, Any]] = field(default_factory=dict)
    lines: int = 0
    repeated: int = 0
    rejected: int = 0
    first_rejected: str = ""


def read_reviews(path: Path) -> Reviews:
    """Read the reviews; of each only who, what and when.

    Raises
    ------
    DataError
        If the file cannot be read, is empty, or a line is no review: the log is what everything
        is measured on, so nothing of it is passed over.
    """
    users: dict[str, int] = {}
    items: dict[str, int] = {}
    columns = array("I"), array("I"), array("q")
    with closing(lines(path, "reading reviews")) as rows:
        for line in rows:
            user, item, moment = _review(line, path.name)
            columns[0].append(users.setdefault(user, len(users)))
            columns[1].append(items.setdefault(item, len(items)))
            columns[2].append(moment)
    if not users:
        raise DataError(f"{path.name}: empty file, expected reviews")
    names = {"user": pl.UInt32, "item": pl.UInt32, "timestamp": pl.Int64}
    made = [pl.Series(n, c, dtype=t) for (n, t), c in zip(names.items(), columns, strict=True)]
    return Reviews(_ids("user_id", users), _ids("item_id", items), pl.DataFrame(made))


def _ids(name: str, ids: Iterable[str]) -> pl.Series:
    return pl.Series(name, list(ids), dtype=pl.String)


def _review(line: Line, name: str) -> tuple[str, str, int]:
    where = f"{name}, line {line.number}"
    try:
        found = _record(line)
    except ValueError as error:
        raise DataError(
            f"{where}: found {short(line.text.strip())} ({short_reason(error)}), {_REVIEW}"
        ) from None
    user, item, moment = (found.get(key) for key in ("reviewerID", "asin", "unixReviewTime"))
    for key, value in (("reviewerID", user), ("asin", item)):
        if not isinstance(value, str) or not value.strip():
            raise DataError(f"{where}, '{key}': found {short(value)}, expected an id as text")
    # A bool is an int to Python; a moment beyond 64 bits would not fit the column.
    if type(moment) is not int or abs(moment) >= 1 << 63:
        raise DataError(
            f"{where}, 'unixReviewTime': found {short(moment)}, expected whole Unix seconds"
        )
    return _mended(str(user)), _mended(str(item)), moment


def _record(line: Line) -> dict[str, Any]:
    if line.problem:
        raise ValueError(line.problem)
    return record(line.text)


def short_reason(error: Exception) -> str:
    """Return why a parser refused, in few words."""
    text = in_one_line(error)
    return text if len(text) <= 80 else f"{text[:77]}..."


def core(log: pl.DataFrame, k: int) -> pl.DataFrame:
    """Return the reviews of the k-core: each user and item in it has at least ``k`` of them.

    Repeats of a user and item count, as they do in S3-Rec's preprocessing. The rest keeps its
    order; which rows are left does not depend on whether users or items are looked at first.
    """
    while True:
        often = (pl.len().over("user") >= k) & (pl.len().over("item") >= k)
        kept = log.filter(often)
        if len(kept) == len(log):
            return kept
        log = kept


def repeats(log: pl.DataFrame) -> int:
    """Return how many reviews are of an item that the same user reviewed already."""
    return len(log) - log.select("user", "item").n_unique()


def read_metadata(path: Path, wanted: set[str]) -> Metadata:
    """Read what the metadata say of the items wanted.

    A line that is no record is counted and passed over: its item goes on without a text. Lines
    of other items are not parsed.

    Raises
    ------
    DataError
        If the file cannot be read, is of another year, or has no line of a wanted item.
    """
    found = Metadata()
    with closing(lines(path, "reading metadata")) as rows:
        for line in rows:
            found.lines += 1
            named = _ASIN.findall(line.text)
            if named and wanted.isdisjoint(named) and not line.problem:
                continue
            try:
                values = _record(line)
                item = _asin(values)
            except ValueError as error:
                found.rejected += 1
                reason = f"found {short(line.text.strip())} ({short_reason(error)})"
                found.first_rejected = found.first_rejected or f"line {line.number}: {reason}"
                continue
            _refuse_other_year(values, f"{path.name}, line {line.number}")
            if item in found.items:
                found.repeated += 1
            elif item in wanted:
                found.items[item] = _entry(values)
    if not found.items:
        rejected = f", {found.rejected:,} of them no records" if found.rejected else ""
        first = f" (first: {found.first_rejected})" if found.first_rejected else ""
        raise DataError(
            f"{path.name}: found no item of the reviews in {found.lines:,} lines{rejected}{first},"
            f" expected the metadata of items such as {short(min(wanted))}"
        )
    return found


def check_year(path: Path) -> None:
    """Check the first metadata record, before any long work.

    Raises
    ------
    DataError
        If the file cannot be read, or looks like one of another year than 2014.
    """
    with closing(lines(path, "reading metadata")) as rows:
        for line in rows:
            try:
                values = _record(line)
            except ValueError:
                continue
            _refuse_other_year(values, f"{path.name}, line {line.number}")
            return


def _refuse_other_year(values: dict[str, Any], where: str) -> None:
    """Refuse metadata with the fields of another year's files."""
    for year, fields in _OTHER_YEARS.items():
        found = [f"'{name}'" for name in fields if name in values]
        if year == "2018":
            lists = [name for name in _TEXTS if isinstance(values.get(name), list)]
            found += [f"'{name}' as a list" for name in lists]
        if found:
            raise DataError(
                f"{where}: found {', '.join(found)}: these look like the files of {year}, expected"
                " those of 2014, with 'categories', 'imUrl' and a text as 'description';"
                " convert other files to a data folder yourself"
            )


def _asin(values: dict[str, Any]) -> str:
    item = values.get("asin")
    if not isinstance(item, str):
        raise ValueError(f"asin: {short(item)}")
    return _mended(item)


def _entry(values: dict[str, Any]) -> dict[str, Any]:
    """Return one item's row; a value of a type that its field never has counts as not given."""
    link = values.get("imUrl")
    link = link.strip() if isinstance(link, str) else ""
    return {
        "title": _text(values.get("title")),
        "description": _text(values.get("description")),
        "brand": _text(values.get("brand")),
        "categories": _flat(values.get("categories")) or None,
        "price": _price(values.get("price")),
        "link": None if not link or _PLACEHOLDER.search(link) else _mended(link),
    }


def _text(value: object) -> str | None:
    """Return a text on one line with its HTML entities as characters, None where it is empty."""
    if not isinstance(value, str):
        return None
    return " ".join(html.unescape(_mended(value)).split()) or None


def _mended(text: str) -> str:
    """Return a text with the halves of surrogate pairs joined; a lone half has no UTF-8."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _flat(value: object) -> list[str]:
    """Return the categories of all paths, each once, in the order in which they come."""
    if isinstance(value, list | tuple):
        return list(dict.fromkeys(name for part in value for name in _flat(part)))
    name = _text(value)
    return [] if name is None else [name]


def _price(value: object) -> float | None:
    """Return a price, None where it is no finite number."""
    number = type(value) is int or type(value) is float
    try:
        price = float(value) if number else math.nan  # type: ignore[arg-type]
    except OverflowError:  # an int of four thousand digits
        return None
    return price if math.isfinite(price) else None
