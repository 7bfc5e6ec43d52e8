"""Mappings from our column names to those of the files, for both files or for one."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mgrec.data.names import ids_among
from mgrec.data.tables import Table, short
from mgrec.errors import DataError, nearest

# Our columns by file.
FILES: Mapping[str, tuple[str, ...]] = {
    "items": ("item_id", "text", "image"),
    "interactions": ("item_id", "user_id", "timestamp", "weight", "event"),
}
OURS = ("item_id", "user_id", "timestamp", "weight", "event", "text", "image")
IDS = ("item_id", "user_id")
_REQUIRED = {"items": ("item_id",), "interactions": ("user_id", "item_id")}


@dataclass(frozen=True)
class ColumnMap:
    """The files' column names by ours.

    Attributes
    ----------
    both : for any file that has such a column: ``{"item_id": "sku"}``
    alone : for one file, by its name: ``{"interactions": {"item_id": "product_id"}}``
    """

    both: Mapping[str, str]
    alone: Mapping[str, Mapping[str, str]]

    @classmethod
    def of(cls, columns: Mapping[str, str] | None) -> ColumnMap:
        """Check a mapping whose keys are our columns, ``items.COLUMN`` or ``interactions.COLUMN``.

        Raises
        ------
        DataError
            If a key is not one of our columns, or a file's column is named twice.
        """
        if columns is not None and not isinstance(columns, Mapping):
            found = type(columns).__name__
            raise DataError(f"columns: found {found}, expected such as {{'user_id': 'uid'}}")
        both: dict[str, str] = {}
        alone: dict[str, dict[str, str]] = {file: {} for file in FILES}
        for key, theirs in (columns or {}).items():
            if not (isinstance(key, str) and isinstance(theirs, str)):
                raise DataError(f"columns: found {key!r}: {theirs!r}, expected two names")
            file, dot, ours = key.rpartition(".")
            known = FILES.get(file, ()) if dot else OURS
            if ours not in known:
                every = [*OURS, *(f"{f}.{c}" for f in FILES for c in FILES[f])]
                raise DataError(
                    f"column '{key}={theirs}': expected one of {', '.join(known or OURS)}, or one"
                    f" of them for one file, such as items.item_id.{nearest(key, every)}"
                )
            (alone[file] if dot else both)[ours] = theirs
        made = cls(both, alone)
        for file in FILES:
            names = made.names(file)
            if len(set(names.values())) < len(names):
                raise DataError(f"columns: found one column twice in {names}, expected each once")
        return made

    def names(self, file: str) -> dict[str, str]:
        """Return the names for one file, ``items`` or ``interactions``."""
        shared = {ours: name for ours, name in self.both.items() if ours in FILES[file]}
        return {**shared, **self.alone[file]}

    def ids(self, file: str) -> set[str]:
        """Return the names in one file of the columns that hold ids."""
        names = self.names(file)
        return {*IDS, *(names[ours] for ours in IDS if ours in names)}

    def renamed(self, items: Table | None, log: Table) -> tuple[Table | None, Table]:
        """Rename the columns of tables to ours.

        Raises
        ------
        DataError
            If a file lacks a column that was named, or a column of ids.
        """
        files = {"interactions": log} if items is None else {"items": items, "interactions": log}
        for ours, theirs in self.both.items():
            tables = [table for file, table in files.items() if ours in FILES[file]]
            if not any(theirs in table.frame.columns for table in tables):
                _refuse(f"{ours}={theirs}", theirs, tables)
        for file, names in self.alone.items():
            for ours, theirs in names.items():
                if file not in files:
                    raise DataError(f"column '{file}.{ours}={theirs}': there is no items file")
                if theirs not in files[file].frame.columns:
                    _refuse(f"{file}.{ours}={theirs}", theirs, [files[file]])
        self._refuse_two_ids(items, log)
        made = {file: table.renamed(self.names(file)) for file, table in files.items()}
        for file, table in made.items():
            for ours in _REQUIRED[file]:
                if ours not in table.frame.columns:
                    _refuse_without(file, table, ours, self.names(file).get(ours))
        return made.get("items"), made["interactions"]

    def _refuse_two_ids(self, items: Table | None, log: Table) -> None:
        """Refuse a name for both files if the log also has a column ``item_id``."""
        theirs = self.names("interactions").get("item_id", "item_id")
        named = "item_id" in self.alone["interactions"] or theirs == "item_id"
        if named or items is None or theirs not in items.frame.columns:
            return
        if {"item_id", theirs} <= set(log.frame.columns):
            flags = [option(f"{file}.item_id", theirs) for file in FILES]
            raise DataError(
                f"{log.name}: found columns 'item_id' and {theirs!r}, expected a name for"
                f" each file: {flags[0]}, and {flags[1]} if 'item_id' is the wrong column"
            )


def option(ours: str, theirs: str) -> str:
    """Return the command-line option that maps a column, quoted for a shell."""
    pair = f"{ours}={theirs}"
    if not pair.isprintable():
        pair = pair.encode("unicode_escape").decode()
    return f"--column {shlex.quote(pair)}"


def _refuse(mapping: str, theirs: str, tables: list[Table]) -> None:
    known = list(dict.fromkeys(column for table in tables for column in table.frame.columns))
    names = " or ".join(table.name for table in tables) or "any file"
    raise DataError(
        f"column '{mapping}': no '{theirs}' in {names}, found {short(', '.join(known), 200)}."
        f"{separated(tables) or nearest(theirs, known)}"
    )


def separated(tables: Sequence[Table]) -> str:
    """Return a hint where a table's one column holds the names of several."""
    alone = [t.frame.columns[0] for t in tables if len(t.frame.columns) == 1]
    other = any(mark in name for name in alone for mark in ";\t|")
    return " Columns are separated by commas." if other else ""


def _refuse_without(file: str, table: Table, ours: str, theirs: str | None) -> None:
    """Raise for a missing column of ids, and suggest a column of the file."""
    known = table.frame.columns
    hint = separated([table])
    if not hint:
        close = difflib.get_close_matches(ours, known, n=1, cutoff=0.75)
        like = [*ids_among(known, "user" if ours == "user_id" else "item"), *close]
        like = [name for name in like if name not in table.names]
        if like:
            to_paste = option(f"{file}.{ours}", like[0])
            hint = f" Did you mean {like[0]!r}? Map it: {to_paste}"
    missing = f"'{ours}'" if theirs in (None, ours) else f"'{theirs}' or '{ours}'"
    found = short(", ".join(known), 200)
    raise DataError(f"{table.name}: no column {missing}, found {found}.{hint}")
