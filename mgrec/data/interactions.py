"""The log: who took what, oldest first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mgrec.data import columns as cols
from mgrec.data.notes import Notebook
from mgrec.data.sequences import Sequences
from mgrec.data.tables import Table, short
from mgrec.errors import DataError

FEWEST = 3  # interactions that a user needs to be tested on
_OLD = 631_152_000  # 1990-01-01


@dataclass(frozen=True)
class Log:
    """Who took what: see `Dataset` for shapes."""

    catalogue: pl.Series
    users: pl.Series
    sequences: Sequences
    times: NDArray[np.int64] | None


def read(table: Table, known: pl.Series | None, notes: Notebook) -> Log:
    """Read the interactions, oldest first for every user.

    Where moments tie, and where there are none, the file's order stands.

    Parameters
    ----------
    table : Table
    known : Series of item ids or None
        The catalogue; None makes one of the log's items, in the order in which they first appear.
    notes : Notebook

    Raises
    ------
    DataError
        If ids, moments or weights are malformed, or no interaction is left.
    """
    user = cols.ids(table, "user_id")
    item = cols.ids(table, "item_id", known)
    moments = cols.moments(table) if "timestamp" in table.frame.columns else None
    notes.counts["rows_read"] = len(table)
    when = "in the file's order" if moments is None else f"ordered by {moments[2]}"
    notes.say(f"{table.name}: {len(table):,} rows, {cols.kind(user)} as user ids, {when}")
    if moments is not None:
        _about_moments(table, moments[1], moments[2], notes)
    kept = _weighty(table, notes)
    if known is None:
        known = item.filter(pl.Series(kept)).unique(maintain_order=True)
        notes.say(
            f"no items file: the {len(known):,} items of the log, in the order in which they"
            " first appear, are the catalogue"
        )
    index = cols.positions(item, known)
    strange = kept & (index < 0)
    kept = kept & (index >= 0)
    _about_strangers(table, item, user, strange, kept, known, notes)
    _about_events(table, kept, notes)
    users = user.filter(pl.Series(kept)).unique(maintain_order=True)
    row_user = cols.positions(user.filter(pl.Series(kept)), users)
    # lexsort is stable: the file's order is kept within a user and moment.
    keys = (row_user,) if moments is None else (moments[0][kept], row_user)
    order = np.lexsort(keys)
    lengths = np.bincount(row_user, minlength=len(users))
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    sequences = Sequences(offsets, index[kept][order].astype(np.int32))
    _about_users(lengths, notes)
    times = None if moments is None else moments[1][kept][order]
    if moments is None:
        notes.order = _by_file(table)
    else:
        tied = _tied(moments[0][kept][order], row_user[order])
        early = " before 1990" if (moments[1] < _OLD).all() else ""
        notes.order = _by_time(table, moments[2] + early, tied, len(order))
    return Log(known, users.alias("user_id"), sequences, times)


def _tied(ticks: NDArray[np.generic], users: NDArray[np.int64]) -> int:
    """Count interactions that have the same time as another one of the same user.

    Parameters
    ----------
    ticks, users : [interactions], sorted by user and then by moment
    """
    same = (ticks[1:] == ticks[:-1]) & (users[1:] == users[:-1])
    return int((np.append(same, False) | np.append(False, same)).sum())


def _by_time(table: Table, unit: str, tied: int, n: int) -> str:
    column = table.names.get("timestamp", "timestamp")
    ties = "no user has two at the same time"
    if tied:
        ties = (
            f"{tied:,} of {n:,} have the same time as another one of the same user and keep"
            " the order of the file"
        )
    return f"Interactions are ordered by time (column '{column}', {unit}); {ties}."


def _by_file(table: Table) -> str:
    if table.kind == "sequences":
        return f"Interactions are ordered as in {table.name}, which has no times."
    return (
        f"Interactions are ordered as the rows of {table.name}, not by time: it has no column"
        " 'timestamp'."
    )


def _about_moments(table: Table, seconds: NDArray[np.int64], unit: str, notes: Notebook) -> None:
    """Warn of moments long before the others: they are of another unit, or no moments."""
    early = seconds < _OLD
    n = 0 if early.all() else int(early.sum())
    first = table.place(int(early.argmax()), "timestamp") if n else ""
    notes.warn(
        "early_rows",
        n,
        f"rows with a moment before 1990, taken for {unit} as all are: {n:,} of {len(table):,}"
        f" (first: {first}): is another unit among them?",
    )


def _weighty(table: Table, notes: Notebook) -> NDArray[np.bool_]:
    """Return bool [rows]: which rows weigh more than nothing, or have no weight given."""
    if "weight" not in table.frame.columns:
        return np.ones(len(table), bool)
    light = (cols.numbers(table, "weight") <= 0).fill_null(False).to_numpy()
    n = int(light.sum())
    notes.say(f"weight: {len(table) - n:,} rows above 0 (or without one) are kept, all alike")
    notes.warn("weightless_rows", n, f"rows with a weight of 0 or less, left out: {n:,}")
    if n == len(table):
        raise DataError(f"{table.name}: no row has a weight above 0, expected interactions")
    return ~light


def _about_strangers(
    table: Table,
    item: pl.Series,
    user: pl.Series,
    strange: NDArray[np.bool_],
    kept: NDArray[np.bool_],
    known: pl.Series,
    notes: Notebook,
) -> None:
    """Warn of rows whose item the catalogue does not have; raise if that is all of them."""
    if not strange.any():
        return
    first = int(strange.argmax())
    where, found = table.place(first), short(item[first])
    if not kept.any():
        raise DataError(
            f"{where}: found item {found}, and no row names an item of the catalogue,"
            f" expected ids such as {short(known[0])}"
        )
    n, distinct = int(strange.sum()), item.filter(pl.Series(strange)).n_unique()
    notes.counts["unknown_items"] = distinct
    notes.warn(
        "unknown_item_rows",
        n,
        f"rows of items that the catalogue does not have, left out: {n:,} of {len(table):,},"
        f" different items: {distinct:,} (first: {where}: {found})",
    )
    gone = user.filter(pl.Series(strange)).unique()
    lost = int((cols.positions(gone, user.filter(pl.Series(kept)).unique()) < 0).sum())
    notes.warn("lost_users", lost, f"users who had no other rows, left out: {lost:,}")


def _about_events(table: Table, kept: NDArray[np.bool_], notes: Notebook) -> None:
    """Count rows by kind of event; every kind is kept."""
    if "event" not in table.frame.columns:
        return
    words = cols.texts(table.frame, ("event",))
    events = words.fill_null("(none)").filter(pl.Series(kept)).alias("event")
    counted = events.value_counts(sort=True)
    notes.events.update(zip(counted["event"], counted["count"], strict=True))
    kinds = [f"{kind} {n:,}" for kind, n in notes.events.items()]
    more = "" if len(kinds) <= 8 else f" and {len(kinds) - 8} more kinds"
    notes.say(f"event: all kinds are kept alike: {', '.join(kinds[:8])}{more}")


def _about_users(lengths: NDArray[np.integer], notes: Notebook) -> None:
    few = int((lengths < FEWEST).sum())
    notes.warn(
        "short_users",
        few,
        f"users with fewer than {FEWEST} interactions, trained on but never tested on:"
        f" {few:,} of {len(lengths):,}",
    )
