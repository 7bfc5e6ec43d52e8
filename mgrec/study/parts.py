"""What a report is made of: one structure of everything that a run or a study has to say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from mgrec.measure.intervals import Interval

Kind = Literal["ceiling", "model", "baseline", "published"]


LEAD = (
    "How often the item that came next was among the first few recommended, and how high it stood."
    " 1 is perfect, 0 is never."
)


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
class Results:
    """A table of results, and a drawing of one of its metrics.

    Attributes
    ----------
    title, lead : str
        The lead says in a sentence what the table shows.
    rows : tuple of Row
    columns : tuple of str
        Names of the metrics, in order.
    headline : str
        The metric that is drawn.
    protocol : str
        One sentence under the table: split, ranking, filter, intervals.
    """

    title: str
    lead: str
    rows: tuple[Row, ...]
    columns: tuple[str, ...]
    headline: str = "NDCG@10"
    protocol: str = ""


@dataclass(frozen=True)
class Sheet:
    """A table of words: a heading, names of columns, rows, what there is to say underneath."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    about: str = ""

    @property
    def prose(self) -> tuple[bool, ...]:
        """Whether each column holds sentences, which begin at the left and may take lines."""
        columns = zip(*self.rows, strict=True) if self.rows else [()] * len(self.head)
        return tuple(any(map(_sentence, column)) for column in columns)


def filled(
    head: Sequence[str], rows: Iterable[Sequence[str]]
) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]] | None:
    """Return head and rows of a table without its empty rows and columns; None if none is left.

    The first cell of a row is its name, which alone does not fill it.
    """
    some = [row for row in rows if any(row[1:])]
    if not some:
        return None
    columns = [0, *(n for n in range(1, len(head)) if any(row[n] for row in some))]
    return tuple(head[n] for n in columns), tuple(tuple(row[n] for n in columns) for row in some)


def _sentence(cell: str) -> bool:
    """Whether a cell holds words, and not figures, however many."""
    return len(cell) > 30 and cell[0].isalpha()


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
class Strip:
    """Items side by side, as pictures and titles; the first may be set apart as what they share."""

    title: str
    items: tuple[Item, ...]
    about: str = ""


@dataclass(frozen=True)
class Dot:
    """One thing on a map: where, how large, of which of the map's groups (None: of none)."""

    x: float
    y: float
    size: float
    group: int | None
    label: str


@dataclass(frozen=True)
class Map:
    """Things in the plane, those that are alike near each other; the axes have no meaning.

    Attributes
    ----------
    groups : names of the colours
    ordered : whether the groups are steps of one scale, drawn as shades of one colour
    rest : what dots of no group are
    """

    title: str
    dots: tuple[Dot, ...]
    groups: tuple[str, ...]
    ordered: bool = False
    rest: str = "others"
    about: str = ""


@dataclass(frozen=True)
class Section:
    """A part of the page about anything: words that are explained, tables, curves, in this order.

    Whatever is empty is left out. This is where diagnostics go.

    Attributes
    ----------
    lead : what is asked, in a sentence
    strips, maps : items and codes to look at, behind the curves
    seen : what is seen, in a sentence, at the end
    """

    title: str
    lead: str = ""
    words: Mapping[str, str] = field(default_factory=dict)
    sheets: tuple[Sheet, ...] = ()
    curves: tuple[Curve, ...] = ()
    strips: tuple[Strip, ...] = ()
    maps: tuple[Map, ...] = ()
    seen: str = ""


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
    more : tuple of Results
        Further tables, such as the same with seen items left out.
    intro, sections : tuple of Section
        What stands before the results and behind them.
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
    order : str
        The order of each user's interactions, which decides what is held out.
    """

    title: str
    verdict: str
    facts: Mapping[str, str | int | float]
    results: tuple[Row, ...]
    columns: tuple[str, ...]
    headline: str = "NDCG@10"
    protocol: str = ""
    more: tuple[Results, ...] = ()
    intro: tuple[Section, ...] = ()
    sections: tuple[Section, ...] = ()
    slices: tuple[Slices, ...] = ()
    codebooks: tuple[Codebook, ...] = ()
    curves: tuple[Curve, ...] = ()
    users: tuple[User, ...] = ()
    warnings: tuple[str, ...] = ()
    score: str = "log probability"
    recipe: str = ""
    card: Mapping[str, str] = field(default_factory=dict)
    order: str = ""

    @property
    def tables(self) -> tuple[Results, ...]:
        """All tables of results that have a row; the first has the page's own columns."""
        first = Results("Results", LEAD, self.results, self.columns, self.headline, self.protocol)
        return tuple(results for results in (first, *self.more) if results.rows)
