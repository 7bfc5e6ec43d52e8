"""Picture paths: only files inside the data folder are ever opened."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

import polars as pl

from mgrec.data.tables import Table, short
from mgrec.errors import DataError

_URL = re.compile(r"^([a-zA-Z][a-zA-Z0-9+.-]+://|data:|//)")


@dataclass(frozen=True)
class Pictures:
    """What the ``image`` column of a catalogue comes to.

    Attributes
    ----------
    paths : String [items]
        Relative to the folder; null where there is no picture or no such file.
    absent : int
        Items whose file is not there.
    first_absent : str
        Where the first of them stands and why it cannot be opened.
    """

    paths: pl.Series
    absent: int = 0
    first_absent: str = ""


def pictures(table: Table, root: Path | None) -> Pictures:
    """Check the ``image`` column.

    A file that is not there makes the picture missing, as if the cell were empty.

    Raises
    ------
    DataError
        If a path is a URL or leaves the folder (absolute, ``..``, or through a symbolic link).
    """
    if "image" not in table.frame.columns:
        return Pictures(pl.Series("image", [None] * len(table), dtype=pl.String))
    found = table.frame["image"]
    if found.dtype not in (pl.String, pl.Null):
        place = table.place(int(found.is_not_null().arg_max() or 0), "image")
        raise DataError(f"{place}: found {found.dtype} values, expected a path in each row")
    found = found.cast(pl.String)
    found = pl.select(pl.when(found.str.strip_chars() != "").then(found)).to_series()
    used = found.drop_nulls().unique(maintain_order=True)
    if len(used) and root is None:
        raise DataError(f"{table.name}: found picture paths but no folder, expected root=...")
    reasons: dict[str, str] = {}
    inside: dict[str, bool] = {}
    for path in used:
        refusal, reason = _judge(path, root or Path(), inside)
        if refusal:
            row = int((found == path).arg_max() or 0)
            raise DataError(f"{table.place(row, 'image')}: found {short(path)}, {refusal}")
        if reason:
            reasons[path] = reason
    gone = found.is_in(list(reasons)) & found.is_not_null()
    kept = pl.select(image=pl.when(~gone).then(found)).to_series()
    if not reasons:
        return Pictures(kept)
    first = int(gone.arg_max() or 0)
    where = f"{table.place(first)}: {short(found[first])}, {reasons[found[first]]}"
    return Pictures(kept, int(gone.sum()), where)


def _judge(path: str, root: Path, inside: dict[str, bool]) -> tuple[str, str]:
    """Return why a path is refused, and why its file is missing; empty where neither.

    ``inside`` remembers which folders lie inside the root, so that each is resolved once.
    """
    if _URL.match(path):
        return "a URL, expected a path: download the picture into the folder first", ""
    if path[:1] + path[-1:] in ("{}", "[]"):
        return "an object or a list, expected a path", ""
    if Path(path).is_absolute() or PureWindowsPath(path).drive or "\0" in path:
        return "expected a path relative to the data folder", ""
    whole = os.path.join(root, path)  # noqa: PTH118 - a Path a picture doubles the time
    folder = os.path.dirname(whole)  # noqa: PTH120
    if folder not in inside:
        inside[folder] = _within(folder, root)
    if not inside[folder] or path.endswith(".."):
        return _LEAVES, ""
    try:
        mode = os.lstat(whole).st_mode
        if stat.S_ISLNK(mode):
            if not _within(whole, root):
                return _LEAVES, ""
            mode = os.stat(whole).st_mode  # noqa: PTH116
    except OSError as error:
        return "", (error.strerror or "cannot be opened").lower()
    return "", "" if stat.S_ISREG(mode) else "no file"


_LEAVES = "which leaves the data folder, expected a picture inside it (no '..', no link out)"


def _within(path: str, root: Path) -> bool:
    return Path(path).resolve().is_relative_to(root.resolve())
