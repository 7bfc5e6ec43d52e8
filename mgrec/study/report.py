"""The report: what a run or a study has to say, as a page that needs nothing else."""

from __future__ import annotations

import dataclasses
import json
import math
import warnings
from base64 import b64encode
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from mgrec.errors import MissingExtra
from mgrec.folders import new_file
from mgrec.printable import inline
from mgrec.study.drawing import SIDE, Plot, bars, plot, scatter, whiskers
from mgrec.study.parts import Curve, Dot, Item, Kind, Map, Results, Row, Section, Summary, User

_OURS = ("model", "baseline")  # among these the best is set in bold

_GROUPS: Mapping[Kind, str] = {
    "ceiling": "Ceilings: what knowing the planted rules would give",
    "model": "Models",
    "baseline": "Baselines",
    "published": "Published, under their own protocol",
}


def to_json(value: Any) -> str:
    """Return a summary, or any structure, as JSON: NaN as null, of pictures the names alone."""
    return json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False)


def write_report(path: Path, summary: Summary) -> None:
    """Write the summary as one HTML file that needs no network, script or other file.

    Pictures are put in as small JPEGs; where Pillow is not installed they are left out.

    Raises
    ------
    MissingExtra
        If Jinja2 is not installed.
    """
    page = render(summary)
    with new_file(path) as draft:
        draft.write_text(page, encoding="utf-8")


def render(summary: Summary) -> str:
    """Return the page.

    Raises
    ------
    MissingExtra
        If Jinja2 is not installed.
    """
    template = _template()
    items = [item for user in summary.users for item in _items(user)]
    parts = (*summary.intro, *summary.sections)
    items += [item for part in parts for strip in part.strips for item in strip.items]
    pictures = _thumbnails({item.picture for item in items if item.picture is not None})
    return template.render(
        summary=summary,
        tables=[_table(results) for results in summary.tables],
        models=list(dict.fromkeys(n for s in summary.slices for r in s.rows for n in r.values)),
        plots=_plots,
        bars=bars,
        scatter=_scatter,
        side=SIDE,
        blocks=list(dict.fromkeys(block.name for item in items for block in item.semantic_id)),
        pictures=pictures,
        unreadable=sum(picture is None for picture in pictures.values()),
        anchors=_anchors(parts),
    )


def _template() -> Any:
    try:
        import jinja2
    except ImportError:
        raise MissingExtra("report: needs Jinja2: pip install 'mgrec[report]'") from None
    return _compiled(jinja2)


@cache
def _compiled(jinja2: Any) -> Any:
    """Return the template, once a process: a comparison writes its page after every run."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"figure": _figure, "fact": _fact, "snippet": _snippet, "score": _score}
    environment.filters["inline"] = inline
    return environment.from_string((files("mgrec.study") / "report.html").read_text("utf-8"))


def _table(results: Results) -> dict[str, Any]:
    """Return what the template needs to know of one table of results."""
    by_kind = ((title, [r for r in results.rows if r.kind == k]) for k, title in _GROUPS.items())
    return {
        "results": results,
        "groups": [(title, rows) for title, rows in by_kind if rows],
        "beside": list(dict.fromkeys(name for row in results.rows for name in row.beside)),
        "best": {name: _best(results.rows, name) for name in results.columns},
        "forest": whiskers([row.metrics.get(results.headline) for row in results.rows]),
    }


def _plots(curves: Iterable[Curve]) -> list[tuple[Curve, Plot | None]]:
    return [(c, plot(c.x, c.y, c.low, c.high, c.marked)) for c in curves]


def _scatter(found: Map) -> list[tuple[Dot, tuple[float, float, float]]]:
    """Return the dots of a map with their places, the largest first, so that none is hidden."""
    dots = sorted(found.dots, key=lambda dot: -dot.size)
    placed = scatter([d.x for d in dots], [d.y for d in dots], [d.size for d in dots])
    return list(zip(dots, placed, strict=True))


def _anchors(sections: Iterable[Section]) -> dict[str, str]:
    """Return an address on the page for every section, by its title."""
    return {section.title: f"part-{n}" for n, section in enumerate(sections, 1)}


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


def plain(value: Any) -> Any:
    """Return the same in dicts, lists, strings and numbers."""
    if dataclasses.is_dataclass(value):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    if isinstance(value, Path):
        return value.name
    if isinstance(value, np.generic):
        return plain(value.item())
    return None if isinstance(value, float) and not math.isfinite(value) else value
