"""The report holds what it was given, shows it honestly, and asks for nothing else."""

import base64
import dataclasses
import io
import json
import math
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mgrec.errors import MissingExtra
from mgrec.measure.intervals import Interval
from mgrec.measure.metrics import COLUMNS, with_intervals
from mgrec.study.drawing import SIDE, bars, plot, scatter, ticks, ticks_around, whiskers
from mgrec.study.parts import (
    Block,
    Codebook,
    Curve,
    Dot,
    Item,
    Map,
    Row,
    Section,
    SliceRow,
    Slices,
    Strip,
    Suggestion,
    Summary,
    User,
)
from mgrec.study.report import render, to_json, write_report

EMPTY = {"br", "hr", "img", "input", "line", "link", "meta", "polygon", "polyline"}


class Page(HTMLParser):
    """Reads a page strictly: every tag closed in its turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[tuple[str, str]] = []  # text and the tag that it stands in
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip() and "style" not in self.open:
            self.words.append((" ".join(data.split()), self.open[-1] if self.open else ""))

    @property
    def text(self) -> str:
        return " ".join(word for word, _ in self.words)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def drawn(path: Path, size: tuple[int, int] = (640, 400), mode: str = "RGB") -> Path:
    Image.effect_noise(size, 60).convert(mode).save(path)
    return path


def an_item(n: int, picture: Path | None = None) -> Item:
    blocks = (Block("text", (n, 7)), Block("image", (1, 2)), Block("disambiguation", (0,)))
    return Item(f"id-{n}", f"Item {n}", f"What {n} is like.", picture, blocks)


def a_user(n: int, hit: int | None, picture: Path | None = None) -> User:
    listed = tuple(
        Suggestion(an_item(100 + place, picture), -0.5 * place - 1, place == hit)
        for place in range(5)
    )
    return User(f"User {n}", (an_item(1, picture), an_item(2)), listed, an_item(100 + (hit or 9)))


def a_summary(picture: Path | None = None) -> Summary:
    model, base = (with_intervals(np.arange(40) % width, resamples=50) for width in (15, 40))
    perfect = {name: Interval(1, 1, 1) for name in COLUMNS}
    paper = {"NDCG@10": Interval(0.0384, math.nan, math.nan)}
    return Summary(
        title="late++ on a small world",
        verdict="It finds the next item for two users in three.",
        facts={"users": 22363, "density": "0.07%"},
        results=(
            Row("Bayes ranker", "ceiling", perfect),
            Row("late++", "model", model, beside={"parameters": "1.2 million"}),
            Row("popularity", "baseline", base, note="the same for everybody"),
            Row("TIGER", "published", paper),
        ),
        columns=COLUMNS,
        protocol="Leave-one-out, full ranking.",
        slices=(
            Slices(
                "Recall@10", (SliceRow("cold", "never in train", 1234, {"late++": model["Hit@5"]}),)
            ),
        ),
        codebooks=(Codebook("image, level 2", "Uses 31 of 256 codes.", (90, 5, 0, 1)),),
        curves=(Curve("Validation NDCG@10", "epoch", (2, 4, 6), (0.1, 0.3, 0.2), marked=4),),
        users=tuple(a_user(n, hit, picture) for n, hit in enumerate((2, None, 0, 4))),
        warnings=("3 pictures could not be read.",),
        recipe="name: late++\nseed: 0\n",
        card={"seed": "0", "data fingerprint": "4f1a8c"},
    )


def test_everything_given_is_on_the_page() -> None:
    summary = a_summary()
    text = Page(render(summary)).text
    expected = [summary.title, summary.verdict, summary.protocol, *summary.warnings]
    expected += ["22,363", "0.07%", "1.2 million", "the same for everybody", "1,234", "cold"]
    expected += ["image, level 2", "Uses 31 of 256 codes.", "Validation NDCG@10", "0.3 at epoch 4"]
    expected += [
        "data fingerprint",
        "4f1a8c",
        "name: late++ seed: 0",
        "Item 104",
        "What 104 is like.",
    ]
    assert [words for words in expected if words not in text] == []
    assert all(name in text for name in COLUMNS)


def test_the_page_begins_with_the_order_of_the_split() -> None:
    summary = replace(a_summary(), order="Interactions are ordered by time.")
    text = Page(render(summary)).text
    assert text.index(summary.verdict) < text.index(summary.order) < text.index("22,363")


def test_the_file_asks_for_nothing_else(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "report.html"
    write_report(out, a_summary(drawn(tmp_path / "a.jpg")))
    raw = out.read_text(encoding="utf-8")
    page = Page(raw)
    assert not {"script", "link", "iframe", "object", "base"} & {tag for tag, _ in page.tags}
    for _, attributes in page.tags:
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in {"src", "href"}:
                assert str(value).startswith(("data:image/jpeg;base64,", "#"))
    assert "url(" not in raw
    assert "http:" not in raw
    assert "https:" not in raw
    assert str(tmp_path) not in raw


def test_links_lead_somewhere_and_headings_descend_one_at_a_time() -> None:
    page = Page(render(a_summary()))
    ids = {attributes.get("id") for _, attributes in page.tags}
    assert {str(link["href"])[1:] for link in page.all("a")} <= ids
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_words_are_never_markup() -> None:
    evil = "<script>alert(1)</script>\" onload='x' {{ 7 * 7 }}"
    item = Item(evil, evil, evil, None, (Block(evil, (1,)),))
    summary = dataclasses.replace(
        a_summary(),
        **dict.fromkeys(("title", "verdict", "protocol", "recipe", "score", "headline"), evil),
        users=(User(evil, (item,), (Suggestion(item, 1.0, True),), item, evil),),
        curves=(Curve(evil, evil, (1, 2), (1, 2), marked=1),),
        card={evil: evil},
        facts={evil: evil},
        warnings=(evil,),
    )
    page = Page(render(summary))
    assert page.all("script") == []
    assert not any(name == "onload" for _, attributes in page.tags for name in attributes)
    assert page.text.count("{{ 7 * 7 }}") > 10


def test_the_best_model_or_baseline_is_bold_and_no_ceiling_or_published_figure() -> None:
    summary = a_summary()
    bold = [word for word, tag in Page(render(summary)).words if tag == "strong"]
    figures = [word for word in bold if re.fullmatch(r"\d\.\d{4}", word)]
    assert figures == [f"{summary.results[1].metrics[name].value:.4f}" for name in COLUMNS]


def test_missing_figures_are_dashes_and_missing_intervals_are_left_out() -> None:
    row = Row("x", "model", {"Recall@5": Interval(math.nan, math.nan, math.nan)})
    text = Page(render(dataclasses.replace(a_summary(), results=(row,)))).text
    assert "nan" not in text.lower()
    assert text.count("\N{EN DASH}") >= len(COLUMNS)
    assert "0.0384" in Page(render(a_summary())).text


def test_hits_are_marked_where_they_are_and_long_pages_are_folded() -> None:
    page = Page(render(a_summary()))
    assert [word for word, _ in page.words if word.startswith(("came next at", "what came"))] == [
        "came next at place 3",
        "what came next is not among the first 5",
        "came next at place 1",
        "came next at place 5",
    ]
    cards = [str(card["class"]) for card in page.all("li") if "card" in str(card.get("class"))]
    hits = [place for place, name in enumerate(cards) if "hit" in name]
    assert hits == [2, 10, 19]
    users = [part for part in page.all("details") if part.get("class") == "user"]
    assert ["open" in user for user in users] == [True, True, True, False]


def test_semantic_ids_are_chips_coloured_by_block() -> None:
    page = Page(render(a_summary()))
    chips = [span for span in page.all("span") if "block" in str(span.get("class"))]
    colours = {chip["class"] for chip in chips}
    assert colours == {"block b0", "block b1", "block b2"}
    assert len(chips) == 3 + 4 * 5 * 3  # the legend, and every recommended item's blocks
    assert {word for word, tag in page.words if tag == "i"} >= {"100", "7", "0"}


def test_pictures_are_small_jpegs_with_their_item_named(tmp_path: Path) -> None:
    page = Page(render(a_summary(drawn(tmp_path / "a.png", (900, 500), "P"))))
    pictures = page.all("img")
    assert {picture["alt"] for picture in pictures} >= {"Picture of Item 100", "Picture of Item 1"}
    raw = base64.b64decode(str(pictures[0]["src"]).split(",")[1])
    with Image.open(io.BytesIO(raw)) as image:
        assert image.format == "JPEG"
        assert image.size == (200, 111)
    assert page.text.count("no picture") == 8  # four users' second item and target


@pytest.mark.parametrize("mode", ["RGBA", "L", "LA", "1", "CMYK", "P"])
def test_pictures_of_any_kind_are_shown(tmp_path: Path, mode: str) -> None:
    path = drawn(tmp_path / ("a.tiff" if mode == "CMYK" else "a.png"), (1, 1), mode)
    assert len(Page(render(a_summary(path))).all("img")) == 24


def test_pictures_that_cannot_be_read_are_counted_not_fatal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = drawn(tmp_path / "whole.jpg").read_bytes()
    bad = {"cut.jpg": whole[:900], "zero.png": b"", "words.png": b"no picture", "bomb.png": None}
    for name, content in bad.items():
        path = tmp_path / name
        if content is None:
            drawn(path, (400, 400))
            monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100_000)
        else:
            path.write_bytes(content)
        page = Page(render(a_summary(path)))
        assert page.all("img") == []
        assert "1 of these pictures could not be read" in page.text, name
    assert "could not be read and" in Page(render(a_summary(tmp_path / "absent.jpg"))).text


def test_without_pillow_pictures_are_left_out_and_without_jinja_one_line_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = drawn(tmp_path / "a.jpg")
    monkeypatch.setitem(sys.modules, "PIL", None)
    page = Page(render(a_summary(path)))
    assert page.all("img") == []
    assert "no picture" not in page.text
    assert "Item 104" in page.text
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingExtra, match=r"mgrec\[report\]"):
        write_report(tmp_path / "r.html", a_summary())
    assert not (tmp_path / "r.html").exists()


def test_importing_the_report_imports_neither() -> None:
    code = (
        "import sys, mgrec.study.report; print({'PIL', 'jinja2', 'matplotlib'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_summary_of_nothing_is_a_page_of_a_title() -> None:
    page = Page(render(Summary("Empty", "Nothing was run.", {}, (), ())))
    assert page.all("section") == []
    assert page.all("a") == []
    assert "Nothing was run." in page.text


def test_json_holds_the_same_and_no_path_or_nan(tmp_path: Path) -> None:
    summary = a_summary(tmp_path / "a.jpg")
    summary = dataclasses.replace(summary, facts={"items": np.int64(3), "share": np.float32(0.5)})
    text = to_json(summary)
    assert str(tmp_path) not in text
    found = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert set(found) == {field.name for field in dataclasses.fields(Summary)}
    assert found["facts"] == {"items": 3, "share": 0.5}
    assert found["results"][3]["metrics"]["NDCG@10"] == {"value": 0.0384, "low": None, "high": None}
    assert found["users"][0]["history"][0]["picture"] == "a.jpg"
    assert found["users"][0]["history"][0]["semantic_id"][0] == {"name": "text", "codes": [1, 7]}
    assert found["curves"][0]["y"] == [0.1, 0.3, 0.2]


finite = st.floats(-1e6, 1e6, allow_nan=False)


@given(finite, finite)
def test_ticks_are_few_round_and_where_they_should_be(a: float, b: float) -> None:
    low, high = min(a, b), max(a, b)
    if high - low < 1e-9 * max(abs(high), 1):
        high = low
    within, around = ticks(low, high), ticks_around(low, high)
    slack = 1e-6 * max(high - low, abs(high), 1e-9)
    assert 1 <= len(within) <= 6
    assert all(low - slack <= tick <= high + slack for tick in within)
    assert 2 <= len(around) <= 7
    assert around[0] <= low + slack
    assert around[-1] >= high - slack


@given(st.lists(st.tuples(finite, finite), min_size=1, max_size=20), st.booleans())
def test_a_plot_stays_in_its_box(points: list[tuple[float, float]], mark: bool) -> None:
    x, y = zip(*sorted(points), strict=True)
    found = plot(x, y, [v - 1 for v in y], [v + 1 for v in y], marked=x[0] if mark else None)
    assert found is not None
    for place in f"{found.line} {found.band}".split():
        across, down = map(float, place.split(","))
        assert found.left - 0.1 <= across <= found.right + 0.1
        assert 0 <= down <= found.bottom + 0.1
    assert len(found.line.split()) == len(points)
    assert (found.marked is not None) == mark


def test_a_plot_leaves_out_what_is_not_finite() -> None:
    assert plot((1, 2), (math.nan, math.inf)) is None
    found = plot((1, 2, 3), (1.0, math.nan, 2.0))
    assert found is not None
    assert len(found.line.split()) == 2
    page = Page(
        render(dataclasses.replace(a_summary(), curves=(Curve("t", "x", (1,), (math.nan,)),)))
    )
    assert page.all("svg") == []


def test_whiskers_are_in_proportion_from_zero() -> None:
    placed, axis = whiskers([Interval(0.2, 0.1, 0.4), None, Interval(0.1, math.nan, math.nan)])
    first, none, last = placed
    assert first is not None
    assert none is None
    assert last is not None
    assert first.dot == pytest.approx(2 * last.dot)
    assert first.high == pytest.approx(2 * first.dot)
    assert last.low == last.high == last.dot
    assert [label for _, label in axis] == ["0.0", "0.2", "0.4"]
    assert axis[1][0] == pytest.approx(first.dot)
    assert whiskers([Interval(0, 0, 0)])[0][0] is not None


@given(st.lists(st.integers(0, 1000), max_size=300))
def test_bars_fall_from_the_fullest_code(counts: list[int]) -> None:
    heights = bars(counts)
    assert len(heights) == min(64, len(counts))
    assert list(heights) == sorted(heights, reverse=True)
    assert all(0 <= height <= 100 + 1e-9 for height in heights)
    if any(counts):
        assert heights[0] == pytest.approx(100)


@given(st.lists(st.tuples(*[st.floats(-1e6, 1e6)] * 2, st.floats(0, 1e6)), max_size=30))
def test_dots_stay_on_the_map_and_are_as_large_as_they_count(dots: list) -> None:
    x, y, size = ([dot[n] for dot in dots] for n in range(3))
    placed = scatter(x, y, size)
    assert len(placed) == len(dots)
    for across, down, radius in placed:
        assert radius - 1e-6 <= across <= SIDE - radius + 1e-6
        assert radius - 1e-6 <= down <= SIDE - radius + 1e-6
    order = np.argsort(size, kind="stable")
    assert all(np.diff([placed[n][2] for n in order]) >= -1e-9)


def test_a_map_has_one_scale_and_its_north_is_up() -> None:
    (ax, ay, _), (bx, by, _), (cx, cy, _) = scatter([0, 2, 0], [0, 0, 1], [1, 1, 1])
    assert bx - ax == pytest.approx(2 * (ay - cy))
    assert (ay, ax) == (by, cx)
    assert cy < ay


def test_strips_and_maps_are_drawn_and_named(tmp_path: Path) -> None:
    picture = drawn(tmp_path / "one.png")
    dots = tuple(Dot(n, n, n + 1, None if n == 2 else n, f"code {n}") for n in range(3))
    section = Section(
        "Codes",
        "What do they hold?",
        strips=(Strip("The same first code", (an_item(1, picture), an_item(2))),),
        maps=(Map("text", dots, ("drama", "comedy")),),
        seen="They hold <this>.",
    )
    raw = render(Summary("Study", "", {}, (), (), sections=(section,)))
    page = Page(raw)
    for words in ("The same first code", "Item 2", "What 1 is like.", "code 2", "comedy", "others"):
        assert words in page.text
    assert "They hold <this>." in page.text
    assert len(page.all("img")) == 1
    assert [c["class"] for c in page.all("circle")] == ["rest", "g1", "g0"]  # the largest first
