"""The picture of an explanation: bars to the right for what spoke for an item, else to the left."""

from __future__ import annotations

import re
from html import escape

from mgrec.explain.explanation import Explanation

SHOWN = 8  # past items; the others are added up
WIDTH, ROW, NAMES, NUMBERS = 480, 20, 190, 56  # pixels: the whole, a row, its name, its number
LONGEST = 30  # characters of a name

# Its own names, and the page's colour of text: it may stand in a page's markup, or be a file.
STYLE = """
.why{max-width:100%;height:auto;font:12px system-ui,sans-serif;color:#1d2733}
.why text{fill:currentColor}.why .head{font-weight:600}
.why .for{fill:#1f77b4}.why .against{fill:#d9730d}.why .axis{stroke:currentColor;opacity:.35}
@media (prefers-color-scheme:dark){.why{color:#e6e9ee}.why .for{fill:#63b0ee}
.why .against{fill:#ff9f4a}}
"""
_UNWRITABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")  # in XML

Bar = tuple[str, float]


def draw(explanation: Explanation) -> str:
    """Return an SVG document of one row a part, all on one scale."""
    groups = [(head, bars) for head, bars in _groups(explanation) if bars]
    largest = max((abs(value) for _, bars in groups for _, value in bars), default=0) or 1.0
    half = (WIDTH - NAMES - NUMBERS) / 2
    zero, y = NAMES + half, 0
    rows = []
    for head, bars in groups:
        y += ROW + 4
        rows.append(f'<text class="head" x="0" y="{y - 6}">{_text(head)}</text>')
        for name, value in bars:
            width = max(half * abs(value) / largest, 0.5)
            left = zero if value >= 0 else zero - width
            kind = "for" if value >= 0 else "against"
            rows.append(
                f'<text x="0" y="{y + 14}">{_text(_cut(name))}</text>'
                f'<rect class="{kind}" x="{left:.1f}" y="{y + 3}" width="{width:.1f}" height="13"'
                f' rx="2"><title>{_text(name)}: {value:+.2f}</title></rect>'
                f'<text x="{WIDTH}" y="{y + 14}" text-anchor="end">{value:+.2f}</text>'
            )
            y += ROW
        rows.append(
            f'<line class="axis" x1="{zero:.1f}" x2="{zero:.1f}" y1="{y - ROW * len(bars)}"'
            f' y2="{y}"/>'
        )
    if not groups:
        y += ROW
        rows.append(f'<text x="0" y="{y - 5}">By popularity alone</text>')
    said = " ".join(explanation.words())
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="why" role="img" width="{WIDTH}"'
        f' height="{y + 4}" viewBox="0 0 {WIDTH} {y + 4}">'
        f"<title>{_text(said)}</title>"
        f"<style>{STYLE}</style>{''.join(rows)}</svg>"
    )


def _groups(explanation: Explanation) -> list[tuple[str, list[Bar]]]:
    """Return the parts by heading."""
    past = [(part.title or str(part.item_id), part.moved) for part in explanation.past]
    past.sort(key=lambda bar: -abs(bar[1]))
    if len(past) > SHOWN:
        rest = past[SHOWN - 1 :]
        past[SHOWN - 1 :] = [(f"{len(rest)} other items", sum(value for _, value in rest))]
    if explanation.older:
        past.append(("items before those", explanation.older))
    levels = [(level.code, level.moved) for level in explanation.levels if level.moved]
    experts = [(f"expert on {expert.name}", expert.moved) for expert in explanation.experts]
    return [
        ("Past items", past),
        ("What is known of them", [(part.name, part.moved) for part in explanation.modalities]),
        ("Codes of this item, and experts" if experts else "Codes of this item", levels + experts),
    ]


def _cut(name: str) -> str:
    return name if len(name) <= LONGEST else name[: LONGEST - 1].rstrip() + "…"


def _text(words: str) -> str:
    return escape(_UNWRITABLE.sub("", words))
