"""Warnings about ids that look wrong, and about unused columns that look like ids or times."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import polars as pl

from mgrec.data import columns as cols
from mgrec.data import names
from mgrec.data.mapping import FILES, ColumnMap, option
from mgrec.data.notes import Notebook
from mgrec.data.tables import Table, short
from mgrec.errors import DataError

_FEW = 20  # rows below which distinct ids are not suspicious
# Shares of rows with ids of the catalogue: at least for a match, below for a mismatch.
_KNOWN, _UNKNOWN = 0.9, 0.5
_MISSING = ("nan", "none", "null", "nil", "na", "n/a", "<na>", "nat")  # as programs write it
_EPOCH = (631_152_000, 4_102_444_800)  # seconds: 1990 to 2099


def about_values(table: Table, notes: Notebook) -> None:
    """Warn of ids that read like a missing value, or have blanks around them."""
    for column in ("item_id", "user_id"):
        if column not in table.frame.columns or table.frame[column].dtype != pl.String:
            continue
        ids = table.frame[column]
        bare = ids.str.strip_chars()
        whole = cols.retyped(bare, pl.Int64()).is_not_null()
        for code, odd, what in (
            ("missing", bare.str.to_lowercase().is_in(_MISSING), "read like a missing value"),
            ("padded", (bare != ids) & ~whole, "have blanks before or behind them"),
        ):
            n = int(odd.sum() or 0)
            row = int(odd.arg_max() or 0) if n else 0
            notes.warn(
                f"{code}_{column}s",
                n,
                f"ids that {what}, taken as they are: {n:,} of {len(ids):,}"
                f" (first: {table.place(row, column)}: {short(ids[row])})"
                if n
                else "",
            )


def check_ids(
    log: Table, mapped: ColumnMap, items: Table | None, known: pl.Series | None, notes: Notebook
) -> None:
    """Check whether another column than the chosen one holds the ids of items or users.

    Parameters
    ----------
    log, items : with our column names
    mapped : how the columns were named
    known : the catalogue's ids

    Raises
    ------
    DataError
        If a name for both files maps the ids to a column that is likely a row or order number.
        For a name of the log alone there is only a warning.
    """
    if log.kind == "sequences":
        return
    _check(log, "item_id", mapped, items, known, notes)
    _check(log, "user_id", mapped, items, None, notes)


def _check(
    log: Table,
    ours: Literal["item_id", "user_id"],
    mapped: ColumnMap,
    items: Table | None,
    known: pl.Series | None,
    notes: Notebook,
) -> None:
    chosen = log.frame[ours].drop_nulls()
    theirs = log.names.get(ours, ours)
    shared = theirs != ours and ours not in mapped.alone["interactions"]
    by_name, by_value = _candidates(log, ours, known)
    others = [*by_value, *(name for name in by_name if name not in by_value)]
    wanted = "item" if ours == "item_id" else "user"
    sure = [name for name in others if names.role(name) == wanted or name not in by_name]
    once = len(chosen) > 2 and chosen.n_unique() == len(chosen)
    strange = bool(by_value) and known is not None and _share(chosen, known) < _UNKNOWN
    generic = names.generic(theirs)
    if shared and ((others and (once or strange)) or (sure and generic)):
        other = (sure or others)[0]
        raise DataError(
            f"{log.name}: column {theirs!r} would be {ours}, but"
            f" {_why(once, strange, chosen)} and column {other!r}"
            f" {_looks(other in by_value, ours)}, expected a name for each file:"
            f" {_flags(items, ours, other)}, or {option(f'interactions.{ours}', theirs)} if"
            f" {theirs!r} is right"
        )
    if once and len(chosen) >= _FEW:
        hint = ", so nothing can be learned from it"
        if others:
            hint = f": is it column {others[0]!r}? {_flags(items, ours, others[0])}"
        notes.warn(
            f"unique_{ours}s",
            len(chosen),
            f"{log.name}, column {theirs!r}: each of {len(chosen):,} rows has a different {ours},"
            f" like a row number{hint}",
        )
    elif strange or (shared and (others if generic else sure)):
        notes.warn(
            f"passed_over_{ours}s",
            1,
            f"{log.name}: column {theirs!r} is {ours}; column {others[0]!r}, which is"
            f" not used, {_looks(others[0] in by_value, ours)}. To use it:"
            f" {_flags(items, ours, others[0])}",
        )


def _candidates(log: Table, ours: str, known: pl.Series | None) -> tuple[list[str], list[str]]:
    """Return unused columns that may be the ids, by their names and by their values.

    A column without repeated values does not count.
    """
    wanted: Literal["item", "user"] = "item" if ours == "item_id" else "user"
    free = [c for c in log.frame.columns if c not in FILES["interactions"]]
    free = [c for c in free if log.frame[c].dtype.is_integer() or log.frame[c].dtype == pl.String]
    free = [c for c in free if (v := log.frame[c].drop_nulls()).n_unique() < len(v)]
    by_value = [] if known is None else [c for c in free if _are(log.frame[c], c, known)]
    return names.ids_among(free, wanted), by_value


def _are(values: pl.Series, name: str, known: pl.Series) -> bool:
    """Whether a column's values are the catalogue's ids, and not just small numbers."""
    if known.dtype == pl.Int64 and names.role(name) not in {"item", "id"}:
        return False
    different = values.drop_nulls().unique()
    return len(different) > 1 and _share(values.drop_nulls(), known) >= _KNOWN


def _share(values: pl.Series, known: pl.Series) -> float:
    """Return the share of rows with an id of the catalogue."""
    try:
        places = cols.positions(cols.retyped(values, known.dtype), known)
    except pl.exceptions.PolarsError:
        return 0.0
    return float((places >= 0).mean()) if len(places) else 0.0


def _why(once: bool, strange: bool, chosen: pl.Series) -> str:
    if once:
        return f"each of {len(chosen):,} rows has a different value, like a row number,"
    return "few of its values are items" if strange else "its name could be any number"


def _looks(by_value: bool, ours: str) -> str:
    if by_value:
        return "holds ids of the catalogue"
    return f"is named like {'items' if ours == 'item_id' else 'users'}' ids"


def _flags(items: Table | None, ours: str, other: str) -> str:
    """Return the options that map the column of each file."""
    if items is not None and ours == "item_id" and other in items.frame.columns:
        return option(ours, other)  # both files have it
    flags = [option(f"interactions.{ours}", other)]
    if items is not None and ours == "item_id" and (name := items.names.get(ours, ours)) != ours:
        flags.insert(0, option(f"items.{ours}", name))
    return " ".join(flags)


def about_moments(log: Table, notes: Notebook) -> None:
    """Warn of columns that look like times if there is no ``timestamp``."""
    if log.kind == "sequences" or "timestamp" in log.frame.columns:
        return
    free = [c for c in log.frame.columns if c not in FILES["interactions"]]
    found = {column: reason for column in free if (reason := _moments(log, column)) is not None}
    if not found:
        return
    column, problem = min(found.items(), key=lambda pair: (pair[1] != "", free.index(pair[0])))
    example = short(_plain(next(iter(log.frame[column].drop_nulls()))))
    more = [name for name in found if name != column]
    also = f" (also: {', '.join(map(repr, more))})" if more else ""
    do = f"if it is, pass {option('timestamp', column)}"
    if problem:
        do = f"write ISO dates in every row ({problem}) and pass {option('timestamp', column)}"
    notes.warn(
        "unused_moments",
        len(found),
        f"{log.name}: no column 'timestamp', so the rows are taken to be in order of"
        f" time; column {column!r}, such as {example}, looks like the time{also}: {do}",
    )


def _moments(log: Table, column: str) -> str | None:
    """Return None if a column has no times, else why they cannot be read, or "" if they can."""
    values = log.frame[column].drop_nulls()
    named = names.moment(column)
    if values.dtype.is_nested() or values.dtype == pl.Boolean or values.n_unique() < 2:
        return None
    if values.dtype.is_numeric() and values.n_unique() == 2 and len(values) > 2:  # a flag
        return None
    temporal = isinstance(values.dtype, pl.Date | pl.Datetime)
    if not named and not temporal and not _dated(values, column):
        return None
    frame = log.frame.select(timestamp=column)
    try:
        cols.moments(replace(log, frame=frame, names={"timestamp": column}))
    except DataError as error:
        return str(error).partition(": ")[2].partition(", expected")[0]
    return ""


def _dated(values: pl.Series, column: str) -> bool:
    """Whether values are written like dates, without regard to the column's name."""
    if values.dtype == pl.String:
        return cols.is_iso(values.head(1000)) or cols.is_day(values)
    if not values.dtype.is_numeric() or names.role(column) is not None:
        return False
    if cols.is_day(values):
        return True
    low, high = (float(v) for v in (values.min(), values.max()))  # type: ignore[arg-type]
    return any(_EPOCH[0] * unit <= low and high <= _EPOCH[1] * unit for unit in (1, 1e3, 1e6, 1e9))


def _plain(value: object) -> object:
    return value if isinstance(value, int | float | str) else str(value)
