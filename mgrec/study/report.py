"""The report: one structure of everything a run has to say, as a page that needs nothing else."""

from __future__ import annotations

import dataclasses
import json
import math
import warnings
from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mgrec.errors import MissingExtra
from mgrec.measure.intervals import Interval
from mgrec.study.drawing import bars, plot, whiskers

Kind = Literal["ceiling", "model", "baseline", "published"]

_OURS = ("model", "baseline")  # among these the best is set in bold

_GROUPS: Mapping[Kind, str] = {
    "ceiling": "Ceilings: what knowing the planted rules would give",
    "model": "Models",
    "baseline": "Baselines",
    "published": "Published, under their own protocol",
}


@dataclass(frozen=True)
class Row:
    """One line of the table of results.

    Attributes
    ----------
    name : str
    kind : Kind
        The best of the models and baselines is set in bold; ceilings and published figures are
        there to compare with.
    metrics : mapping of str to Interval
        By column name; a column that is absent stays empty, as do ends that are NaN.
    note : str
        A few words under the name.
    beside : mapping of str to str
        Further columns, already worded: p of a paired test, parameters, seconds.
    """

    name: str
    kind: Kind
    metrics: Mapping[str, Interval]
    note: str = ""
    beside: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SliceRow:
    """One part of the cases: what it is, how many are in it, a value by name of `Row`."""

    name: str
    meaning: str
    cases: int
    values: Mapping[str, Interval]


@dataclass(frozen=True)
class Slices:
    """One metric, slice by slice."""

    metric: str
    rows: tuple[SliceRow, ...]


@dataclass(frozen=True)
class Codebook:
    """The health of one codebook: ``text, level 1``, a sentence, how many items each code has."""

    name: str
    sentence: str
    usage: tuple[int, ...]


@dataclass(frozen=True)
class Curve:
    """One line over one axis: validation NDCG@10 or loss by epoch, or accuracy by codebook size.

    Attributes
    ----------
    title, x_label : str
    x, y : tuple of float
    low, high : tuple of float
        A band around y; empty where there is none.
    marked : float, optional
        The x of the point that was chosen.
    """

    title: str
    x_label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    marked: float | None = None


@dataclass(frozen=True)
class Block:
    """One block of a semantic ID: a modality's codes, or the disambiguation codes."""

    name: str
    codes: tuple[int, ...]


@dataclass(frozen=True)
class Item:
    """An item as a person sees it; the picture is a file, and may be missing."""

    item_id: str
    title: str
    text: str = ""
    picture: Path | None = None
    semantic_id: tuple[Block, ...] = ()


@dataclass(frozen=True)
class Suggestion:
    """One recommended item; `hit` where it is the target."""

    item: Item
    score: float
    hit: bool = False


@dataclass(frozen=True)
class User:
    """One user: what the model saw (oldest first), what it recommended, what came next."""

    name: str
    history: tuple[Item, ...]
    suggestions: tuple[Suggestion, ...]
    target: Item | None = None
    note: str = ""

    @property
    def place(self) -> int | None:
        """The 1-based place at which the target was recommended; None where it was not."""
        return next((n for n, s in enumerate(self.suggestions, 1) if s.hit), None)


@dataclass(frozen=True)
class Summary:
    """Everything a report says. What is empty is left out of the page.

    Attributes
    ----------
    title, verdict : str
        The verdict is one paragraph that somebody who has not read the paper understands.
    facts : mapping of str to str, int or float
        Of the data: ``{"users": 22363}``.
    results : tuple of Row
    columns : tuple of str
        Names of the metrics, in order.
    headline : str
        The metric that is drawn.
    protocol : str
        One sentence under the table: split, ranking, filter, intervals.
    slices, codebooks, curves, users
        See their classes.
    warnings : tuple of str
        What was rejected or repaired, one sentence each.
    score : str
        What a suggestion's score is.
    recipe : str
        The whole recipe as YAML.
    card : mapping of str to str
        What it takes to do it again: command, seed, fingerprint, versions.
    """

    title: str
    verdict: str
    facts: Mapping[str, str | int | float]
    results: tuple[Row, ...]
    columns: tuple[str, ...]
    headline: str = "NDCG@10"
    protocol: str = ""
    slices: tuple[Slices, ...] = ()
    codebooks: tuple[Codebook, ...] = ()
    curves: tuple[Curve, ...] = ()
    users: tuple[User, ...] = ()
    warnings: tuple[str, ...] = ()
    score: str = "log probability"
    recipe: str = ""
    card: Mapping[str, str] = field(default_factory=dict)


def to_json(summary: Summary) -> str:
    """Return the summary as JSON: NaN as null, and of pictures the file names alone."""
    return json.dumps(_plain(summary), indent=2, ensure_ascii=False, allow_nan=False)


def write_report(path: Path, summary: Summary) -> None:
    """Write the summary as one HTML file that needs no network, script or other file.

    Pictures are put in as small JPEGs; where Pillow is not installed they are left out.

    Raises
    ------
    MissingExtra
        If Jinja2 is not installed.
    """
    page = render(summary)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")


def render(summary: Summary) -> str:
    """Return the page.

    Raises
    ------
    MissingExtra
        If Jinja2 is not installed.
    """
    try:
        import jinja2
    except ImportError:
        raise MissingExtra("report: needs Jinja2: pip install 'mgrec[report]'") from None
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"figure": _figure, "fact": _fact, "snippet": _snippet, "score": _score}
    template = environment.from_string((files("mgrec.study") / "report.html").read_text("utf-8"))
    items = [item for user in summary.users for item in _items(user)]
    pictures = _thumbnails({item.picture for item in items if item.picture is not None})
    by_kind = ((title, [r for r in summary.results if r.kind == k]) for k, title in _GROUPS.items())
    return template.render(
        summary=summary,
        groups=[(title, rows) for title, rows in by_kind if rows],
        beside=list(dict.fromkeys(name for row in summary.results for name in row.beside)),
        best={name: _best(summary.results, name) for name in summary.columns},
        forest=whiskers([row.metrics.get(summary.headline) for row in summary.results]),
        models=list(dict.fromkeys(n for s in summary.slices for r in s.rows for n in r.values)),
        plots=[
            (curve, plot(curve.x, curve.y, curve.low, curve.high, curve.marked))
            for curve in summary.curves
        ],
        bars=bars,
        blocks=list(dict.fromkeys(block.name for item in items for block in item.semantic_id)),
        pictures=pictures,
        unreadable=sum(picture is None for picture in pictures.values()),
    )


def _thumbnails(paths: Iterable[Path]) -> dict[Path, str | None]:
    """Return every picture as a ``data:`` address, None for one that cannot be read."""
    try:
        import PIL  # noqa: F401
    except ImportError:
        return {}
    return {path: _thumbnail(path) for path in paths}


def _thumbnail(path: Path, side: int = 200) -> str | None:
    from PIL import Image, ImageOps

    bomb = (Image.DecompressionBombWarning, Image.DecompressionBombError)
    with warnings.catch_warnings():
        # A picture large enough to be an attack on memory is one that cannot be read.
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(path) as image:
                image.draft("RGB", (side, side))  # a JPEG is decoded at about the size wanted
                image.thumbnail((side, side))
                upright = ImageOps.exif_transpose(image).convert("RGBA")
        except (OSError, ValueError, SyntaxError, *bomb):
            return None  # counted on the page, like every picture that is not shown
    flat = Image.new("RGB", upright.size, "white")
    flat.paste(upright, mask=upright)
    out = BytesIO()
    flat.save(out, "JPEG", quality=80, optimize=True)
    return "data:image/jpeg;base64," + b64encode(out.getvalue()).decode("ascii")


def _items(user: User) -> Iterable[Item]:
    yield from user.history
    yield from (suggestion.item for suggestion in user.suggestions)
    if user.target is not None:
        yield user.target


def _best(rows: Iterable[Row], name: str) -> float:
    """Return the highest value of a column among models and baselines; NaN where there is none."""
    ours = (row.metrics[name].value for row in rows if name in row.metrics and row.kind in _OURS)
    return max((value for value in ours if math.isfinite(value)), default=math.nan)


def _figure(value: float) -> str:
    return f"{value:.4f}"


def _fact(value: str | int | float) -> str:
    return value if isinstance(value, str) else f"{value:,}"


def _score(value: float) -> str:
    return f"{value:#.3g}".rstrip(".").replace("-", "\N{MINUS SIGN}")


def _snippet(text: str, length: int = 110) -> str:
    """Return the beginning of a text, cut at a word."""
    words = " ".join(text.split())
    return words if len(words) <= length else words[:length].rsplit(" ", 1)[0] + "…"


def _plain(value: Any) -> Any:
    """Return the same in dicts, lists, strings and numbers."""
    if dataclasses.is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, Path):
        return value.name
    if isinstance(value, np.generic):
        return _plain(value.item())
    return None if isinstance(value, float) and not math.isfinite(value) else value
