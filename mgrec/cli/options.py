"""Options that several commands have, and how they are read and answered."""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from mgrec.errors import RequestError
from mgrec.printable import inline, printable
from mgrec.progress import say

Data = Annotated[
    Path, typer.Argument(help="Folder with interactions.{parquet,csv,jsonl} or sequences.txt.")
]
Run = Annotated[Path, typer.Argument(help="Artifact: the output folder of 'mgrec fit'.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Threads = Annotated[int, typer.Option(min=0, help="Number of CPU threads; 0: all.")]
Setting = Annotated[
    list[str],
    typer.Option(
        "-s", "--set", help="Override a field of the recipe: -s model.dim=64. Repeatable."
    ),
]
Column = Annotated[
    list[str],
    typer.Option(
        "--column",
        help="Name of a column in your files: --column user_id=uid. For one file:"
        " --column interactions.item_id=product_id. Repeatable.",
    ),
]
TextColumn = Annotated[
    list[str],
    typer.Option("--text-column", help="Column that is part of an item's text. Repeatable."),
]
Published = Annotated[
    str | None, typer.Option(help="Show published results beside yours: beauty or toys.")
]
Seen = Annotated[bool, typer.Option("--exclude-seen", help="Leave out items of the history.")]
Encoders = Annotated[
    list[str],
    typer.Option("--encoder", help="Encoder of the artifact that you trust. Repeatable."),
]
Where = Annotated[
    str | None,
    typer.Option(help="Condition on attributes: 'price < 20 and \"toys\" in category'."),
]
History = Annotated[
    str | None,
    typer.Option(
        help='Item ids, oldest first, separated by spaces or commas; "in, quotes" if needed.'
    ),
]
User = Annotated[str | None, typer.Option(help="Id of a user in the interactions.")]


def read(path: Path, columns: list[str], text_columns: list[str]) -> Any:
    """Return the data of a folder, and show its warnings."""
    dataset = dataset_of(path, columns, text_columns)
    for warning in dataset.notes.warnings:
        say(f"warning: {warning}")
    return dataset


def dataset_of(path: Path, columns: list[str], text_columns: list[str]) -> Any:
    """Return the data of a folder, mapped as the options say."""
    from mgrec.data.dataset import Dataset

    names: dict[str, str] = {}
    for column in columns:
        ours, equals, theirs = column.partition("=")
        if not equals:
            raise RequestError(f"--column {column}: expected OURS=THEIRS, such as user_id=uid")
        if names.setdefault(ours, theirs) != theirs:
            raise RequestError(
                f"--column {column}: found also {ours}={names[ours]}, expected one name; for one"
                f" file: items.{ours} or interactions.{ours}"
            )
    return Dataset.read(path, columns=names or None, text_columns=text_columns or None)


def changed(change: Any, as_json: bool) -> None:
    for problem in change.problems:
        say(f"warning: {problem}")
    printed(asdict(change) if as_json else str(change), as_json)


def words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def ids(text: str) -> list[int | str]:
    """Return item ids parted by blanks or commas; one that has such itself stands in quotes."""
    lexer = shlex.shlex(text, posix=True)
    lexer.whitespace += ","
    lexer.whitespace_split, lexer.quotes, lexer.escape, lexer.commenters = True, '"', "", ""
    try:
        return list(lexer)
    except ValueError:
        raise RequestError(f"item ids {text}: found a quote that does not end") from None


def say_unknown(recommender: Any, option: str, ids: list[int | str]) -> None:
    """Say which of the named items are none: they allow and exclude nothing."""
    known = recommender.catalogue.index_of(ids) >= 0
    missing = [inline(item) for item, there in zip(ids, known, strict=True) if not there]
    if missing:
        more = f" and {len(missing) - 3:,} more" if len(missing) > 3 else ""
        say(f"warning: {option}: not in the catalogue: {', '.join(missing[:3])}{more}")


def limits(settings: list[str]) -> dict[str, int]:
    limits = {}
    for setting in settings:
        name, equals, most = setting.rpartition("=")
        if not equals or not most.strip().isdecimal() or len(most) > 9:
            raise RequestError(
                f"--max-per {setting}: expected ATTRIBUTE=NUMBER, such as category=2"
            )
        limits[name.strip()] = int(most)
    return limits


def set_threads(threads: int) -> None:
    if threads:
        import torch

        torch.set_num_threads(threads)


def printed(value: Any, as_json: bool) -> None:
    text = json.dumps(value, indent=1) if as_json else printable(str(value))
    sys.stdout.write(text.rstrip() + "\n")
