"""What one run of a comparison came to, in a folder that says whose it is.

``outcome.json`` is written last: where it is, the run is done. Beside it lie the ranks of the test
targets, one file a protocol, and a model's artifact, whose saving leaves these files alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mgrec.configs import Config, TrainingConfig
from mgrec.data.splits import Cases
from mgrec.errors import ArtifactError, RequestError, in_one_line
from mgrec.folders import new_file
from mgrec.recipe import Recipe

_FILE = "outcome.json"
_RANKS = {False: "ranks.parquet", True: "ranks-seen-out.parquet"}  # by whether seen items are out


@dataclass(frozen=True)
class Cost:
    """What a run took.

    Attributes
    ----------
    parameters : trained numbers; None where nothing is trained
    seconds : of training, alignment included
    users_per_second : ranked on the test cases
    """

    parameters: int | None = None
    seconds: float | None = None
    users_per_second: float | None = None


@dataclass(frozen=True, eq=False)
class Outcome:
    """One run: what it was, where it ranked every test target, what it took.

    Attributes
    ----------
    identity : everything that decides the run, as JSON: recipe or settings, and the data
    ranks : int64 [cases] by whether seen items were left out; 0-based, -1 where not listed
    lists : int32 [cases, 20], the items listed, best first, -1 behind the last; as `ranks`
    card : versions and machine
    notes : what is worth saying about it, such as which trial was chosen
    """

    identity: Mapping[str, Any]
    ranks: Mapping[bool, NDArray[np.int64]]
    cost: Cost
    lists: Mapping[bool, NDArray[np.int32]] = field(default_factory=dict)
    card: Mapping[str, str] = field(default_factory=dict)
    notes: str = ""


def save(folder: Path, outcome: Outcome, cases: Cases) -> None:
    """Write an outcome; a kill at any moment leaves the old one or the new one."""
    folder.mkdir(parents=True, exist_ok=True)
    for exclude_seen, ranks in outcome.ranks.items():
        columns = {"user": cases.users, "target": cases.targets, "rank": ranks}
        if exclude_seen in outcome.lists:
            columns["items"] = outcome.lists[exclude_seen]
        frame = pl.DataFrame(columns)
        with new_file(folder / _RANKS[exclude_seen]) as draft:
            frame.write_parquet(draft)
    document = {
        "identity": outcome.identity,
        "measured": [_RANKS[exclude_seen] for exclude_seen in outcome.ranks],
        "cost": asdict(outcome.cost),
        "card": dict(outcome.card),
        "notes": outcome.notes,
    }
    with new_file(folder / _FILE) as draft:
        draft.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", "utf-8")


def load(folder: Path, identity: Mapping[str, Any], cases: Cases) -> Outcome | None:
    """Return the outcome of a run that was done before, None where there is none.

    Raises
    ------
    RequestError
        If the folder has the outcome of another run: another recipe, other data.
    ArtifactError
        If it cannot be read.
    """
    file = folder / _FILE
    if not file.is_file():
        return None
    try:
        found = json.loads(file.read_bytes())
        check_same(folder, found["identity"], identity)
        frames = {
            exclude_seen: _frame(folder / name, cases)
            for exclude_seen, name in _RANKS.items()
            if name in found["measured"]
        }
        return Outcome(
            found["identity"],
            {seen_out: frame["rank"].to_numpy() for seen_out, frame in frames.items()},
            Cost(**found["cost"]),
            {s: frame["items"].to_numpy() for s, frame in frames.items() if "items" in frame},
            found["card"],
            found["notes"],
        )
    except (ValueError, KeyError, TypeError, OSError, pl.exceptions.PolarsError) as error:
        raise ArtifactError(f"{file}: corrupt ({in_one_line(error)}): delete its folder") from None


def measured(folder: Path) -> bool:
    """Whether a folder holds a model's artifact and its ranks with nothing filtered."""
    there = ("manifest.json", _FILE, _RANKS[False])
    return all((folder / name).is_file() for name in there)


def cases_of(folder: Path) -> pl.DataFrame:
    """Return what a run did on every test case, one row each, nothing filtered.

    Raises
    ------
    ArtifactError
        If it cannot be read.
    """
    file = folder / _RANKS[False]
    try:
        return pl.read_parquet(file)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise ArtifactError(f"{file}: corrupt ({in_one_line(error)}): delete its folder") from None


def check_same(folder: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Refuse a folder whose run is not the one asked for.

    Raises
    ------
    RequestError
        With the first difference.
    """
    mine, theirs = _flat(_whole(wanted)), _flat(_whole(found))
    for key in sorted(mine.keys() | theirs.keys()):
        if mine.get(key) != theirs.get(key):
            raise RequestError(
                f"{folder}: holds a run with {key} {_short(theirs.get(key))}, found"
                f" {_short(mine.get(key))}; expected the same, another --out, or another name"
            )


def _frame(file: Path, cases: Cases) -> pl.DataFrame:
    frame = pl.read_parquet(file)
    same = np.array_equal(frame["user"].to_numpy(), cases.users)
    if not same or not np.array_equal(frame["target"].to_numpy(), cases.targets):
        raise ValueError("its test cases are not those of the data")
    return frame


def _whole(identity: Mapping[str, Any]) -> Mapping[str, Any]:
    """Fill in what a recipe, or its part, did not know when it was written."""
    parts: dict[str, type[Config]] = {"recipe": Recipe, "training": TrainingConfig}
    filled = {
        name: part.model_validate(identity[name]).model_dump(mode="json")
        for name, part in parts.items()
        if name in identity
    }
    return {**identity, **filled}


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return {"training.epochs": 2, ...}."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            found |= _flat(value, "" if key == "recipe" else f"{name}.")
        else:
            found[name] = value
    return found


def _short(value: Any) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 40 else text[:16] + "..."
