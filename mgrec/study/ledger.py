"""What a comparison's folder was asked for so far: its data, its overrides, its rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mgrec.errors import ArtifactError, RequestError, in_one_line
from mgrec.folders import new_file
from mgrec.recipe import Recipe
from mgrec.study.grid import Entry, Point, merged
from mgrec.study.outcomes import check_same

_FILE = "grid.json"


@dataclass(frozen=True)
class Ledger:
    """A grid that may be extended by rows and seeds, and by nothing else.

    Attributes
    ----------
    data : fingerprint
    settings : overrides that all rows share; of two of one field the later counts
    entries, baselines : rows
    """

    data: str
    settings: tuple[str, ...]
    entries: tuple[Entry, ...]
    baselines: tuple[str, ...]

    def joined(self, now: Ledger, folder: Path) -> Ledger:
        """Return this grid extended by another.

        Raises
        ------
        RequestError
            If the other is of other data or overrides, or a row has another recipe.
        """
        if self.data != now.data:
            raise RequestError(f"{folder}: its runs are of other data, expected another --out")
        if _last(self.settings) != _last(now.settings):
            raise RequestError(
                f"{folder}: its runs have the settings {_listed(self.settings)}, found"
                f" {_listed(now.settings)}; expected the same, or another --out"
            )
        known = {entry.name: entry for entry in self.entries}
        for entry in now.entries:
            if entry.name in known:
                before, after = (_plain(e.recipe) for e in (known[entry.name], entry))
                check_same(folder / "runs" / entry.slug, {"recipe": before}, {"recipe": after})
        baselines = dict.fromkeys((*self.baselines, *now.baselines))
        return Ledger(self.data, self.settings, merged(self.entries, now.entries), tuple(baselines))

    def save(self, folder: Path) -> None:
        """Write it."""
        entries = [
            {
                "name": entry.name,
                "recipe": _plain(entry.recipe),
                "seeds": list(entry.seeds),
                "point": None if entry.point is None else asdict(entry.point),
                "what": entry.what,
            }
            for entry in self.entries
        ]
        document = {
            "data": self.data,
            "settings": list(self.settings),
            "baselines": list(self.baselines),
            "entries": entries,
        }
        with new_file(folder / _FILE) as draft:
            draft.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", "utf-8")


def read(folder: Path) -> Ledger | None:
    """Return a folder's ledger, None where it has none.

    Raises
    ------
    ArtifactError
        If it cannot be read.
    """
    file = folder / _FILE
    if not file.is_file():
        return None
    try:
        found = json.loads(file.read_bytes())
        return Ledger(
            found["data"],
            tuple(found["settings"]),
            tuple(_entry(entry) for entry in found["entries"]),
            tuple(found["baselines"]),
        )
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        words = in_one_line(error)
        raise ArtifactError(f"{file}: corrupt, or of another mgrec: {words}") from None


def _entry(values: dict[str, Any]) -> Entry:
    point = None if values["point"] is None else Point(**values["point"])
    recipe = Recipe.model_validate(values["recipe"])
    return Entry(values["name"], recipe, tuple(values["seeds"]), point, values.get("what", ""))


def _plain(recipe: Recipe) -> dict[str, Any]:
    return recipe.model_dump(mode="json")


def _last(settings: Sequence[str]) -> dict[str, Any]:
    """Return what counts of settings: the last value of each field, in whatever words."""
    return dict(map(Recipe.read, settings))


def _listed(settings: Sequence[str]) -> str:
    return ", ".join(settings) or "of the recipes alone"
