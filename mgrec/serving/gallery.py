"""An item's picture file: found by its item, never by a path that a client names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mgrec.artifact import UPLOADS
from mgrec.serving.edition import Edition

# What browsers show. Not among them: SVG, which can hold scripts.
KINDS = {
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".avif": "image/avif",
    ".bmp": "image/bmp",
}


def has_picture(edition: Edition, row: int, roots: Sequence[Path]) -> bool:
    """Whether an item's picture can be shown."""
    return picture_file(edition, row, roots) is not None


def picture_file(edition: Edition, row: int, roots: Sequence[Path]) -> tuple[Path, str] | None:
    """Return an item's picture file and its media type, or None where there is none to show.

    Only regular files below one of `roots` are returned, whatever the catalogue says and wherever
    links point to. A root that is a link shows nothing, since an artifact may be untrusted;
    the folder of --pictures is resolved before. The catalogue has the path of an uploaded picture
    at the time of its upload; the file is located by its name, which is its hash.
    """
    items = edition.recommender.catalogue.items
    named = items["image"][row] if "image" in items.columns else None
    if not isinstance(named, str) or not named:
        return None
    for root in roots:
        path = Path(named)
        uploaded = path.is_absolute() and path.parent.name == UPLOADS == root.name
        file = _inside(root / path.name if uploaded else root / path, root)
        if file is not None:
            return file
    return None


def _inside(path: Path, root: Path) -> tuple[Path, str] | None:
    kind = KINDS.get(path.suffix.lower())
    try:
        if kind is None or root.is_symlink():
            return None
        file = path.resolve(strict=True)
        if not file.is_file() or not file.is_relative_to(root.resolve()):
            return None
    except (OSError, ValueError, RuntimeError):  # gone, an impossible name, links in a circle
        return None
    return file, kind
