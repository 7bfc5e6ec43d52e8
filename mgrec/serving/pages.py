"""The page: addresses in, HTML out."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from fastapi import APIRouter
from fastapi import Request as Call
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import FileResponse, HTMLResponse, Response

from mgrec.artifact import REPORT
from mgrec.errors import MgrecError
from mgrec.explain.explanation import Explanation, called
from mgrec.files import kind_of
from mgrec.printable import inline
from mgrec.requests import Request
from mgrec.serving.batching import contained
from mgrec.serving.branches import place, prefix_of, slot_words
from mgrec.serving.cards import Card, cards, code_text, search
from mgrec.serving.edition import Edition
from mgrec.serving.gallery import picture_file
from mgrec.serving.refusals import Refusal, one_line
from mgrec.serving.shelf import Served, Shelf
from mgrec.serving.state import HISTORY, MANY, State

PICKS = 24  # items of the catalogue on a page
BRANCHES = 60  # of the tree that are drawn
USERS = 200  # offered by name
ASSETS = {"page.css": "text/css", "page.js": "text/javascript", "icon.svg": "image/svg+xml"}


@dataclass(frozen=True)
class Column:
    """What one run recommends.

    Attributes
    ----------
    error : why it recommends nothing, in one line; empty where it does
    """

    run: str
    version: int
    reason: str
    cards: list[Card]
    error: str = ""


def pages(shelf: Shelf) -> APIRouter:
    """Return the page's routes over a shelf."""
    shown = _Pages(shelf)
    routes = APIRouter(include_in_schema=False)
    for address, answer in (
        ("/", shown.home),
        ("/explain", shown.explain),
        ("/codes", shown.codes),
        ("/run", shown.run),
        ("/report", shown.report),
        ("/pictures/{item:path}", shown.picture),  # an id may hold a slash
        ("/assets/{name}", shown.asset),
    ):
        routes.add_api_route(address, answer, methods=["GET"])
    return routes


class _Pages:
    """One method an address."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        self.environment = Environment(
            loader=PackageLoader("mgrec.serving", "page"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self.environment.filters |= {"score": _score, "count": _count, "inline": inline}

    def _html(self, name: str, **values: Any) -> HTMLResponse:
        page = self.environment.get_template(name).render(names=list(self.shelf.runs), **values)
        return HTMLResponse(page)

    async def home(self, call: Call) -> Response:
        query = call.query_params.multi_items()
        state = State.of(query)
        first = _chosen(self.shelf, state)[0]
        note = ""
        if user := call.query_params.get("user", "").strip():
            log = _log(first.edition, user)
            if log is None:
                note = f"User {one_line(user)} is unknown"
            else:
                state = replace(state, history=tuple(log))
                note = f"The last {len(log)} items of user {one_line(user)}, oldest first"
        shown = await asyncio.gather(*(_column(s, state) for s in _chosen(self.shelf, state)))
        return await _in_thread(lambda: self._home(first, state, note, shown))

    def _home(self, first: Served, state: State, note: str, shown: list[Column]) -> Response:
        edition = first.edition
        found = search(edition, state.q)
        pages = max(1, -(-len(found) // PICKS))
        page = min(state.page, pages - 1)
        picks = found[page * PICKS : (page + 1) * PICKS].tolist()
        rows = edition.recommender.catalogue.index_of(state.history)
        users = edition.recommender.users.ids
        return self._html(
            "home.html",
            state=state,
            note=note,
            columns=shown,
            history=_kept(edition, state.history, rows, first.pictures),
            picks=cards(edition, picks, first.pictures),
            found=len(found),
            page=page,
            pages=pages,
            many=MANY,
            users=[str(user) for user in users.head(USERS).to_list()],
            anybody=str(users[secrets.randbelow(len(users))]) if len(users) else "",
            hints=edition.hints,
            chosen=[served.name for served in _chosen(self.shelf, state)],
            n_items=edition.n_items,
        )

    async def explain(self, call: Call) -> Response:
        state = State.of(call.query_params.multi_items())
        served = _chosen(self.shelf, state)[0]
        item = call.query_params.get("item", "")

        def look(edition: Edition) -> tuple[list[Card], Any]:
            row = int(edition.recommender.catalogue.index_of([item])[0])
            if row < 0:
                raise Refusal(404, f"item {item!r}: not in the catalogue")
            found = edition.recommender.explain(item, history=list(state.history))
            return cards(edition, [row], served.pictures), found

        edition, (card, explanation) = await served.ask(look)
        return self._html(
            "explain.html",
            state=state,
            edition=edition,
            card=card[0],
            explanation=explanation,
            sentences=_sentences(explanation),
        )

    async def codes(self, call: Call) -> Response:
        state = State.of(call.query_params.multi_items())
        served = _chosen(self.shelf, state)[0]
        prefix = call.query_params.get("prefix", "")
        return await _in_thread(lambda: self._codes(served, state, prefix))

    def _codes(self, served: Served, state: State, text: str) -> Response:
        edition = served.edition
        slots = edition.recommender.catalogue.ids.target_slots
        prefix = prefix_of(text, len(slots))
        where = place(edition.recommender, prefix)
        return self._html(
            "codes.html",
            state=state,
            edition=edition,
            place=where,
            slots=[slot_words(s) for s in slots if s.kind != "transition"],
            branches=[
                (branch, cards(edition, branch.rows, served.pictures))
                for branch in where.branches[:BRANCHES]
            ],
            cards=cards(edition, where.rows[:PICKS], served.pictures),
            path=[
                (".".join(map(str, prefix[: i + 1])), slot_words(slot), code_text(slot, code))
                for i, (slot, code) in enumerate(zip(slots, prefix, strict=False))
                if slot.kind != "transition"
            ],
        )

    async def run(self, call: Call) -> Response:
        state = State.of(call.query_params.multi_items())
        served = _chosen(self.shelf, state)[0]
        catalogue = served.edition.recommender.catalogue
        return self._html(
            "run.html",
            state=state,
            edition=served.edition,
            report=_report(served),
            health=[line for name in catalogue.codes for line in catalogue.health_of(name)],
        )

    async def report(self, call: Call) -> Response:
        served = _chosen(self.shelf, State.of(call.query_params.multi_items()))[0]
        file = _report(served)
        if file is None:
            raise Refusal(404, "report: this run has no report.html beside its artifact")
        # It is one file with its styles and pictures in it, and says so in its own policy.
        policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
        return FileResponse(
            file, media_type="text/html", headers={"content-security-policy": policy}
        )

    async def picture(self, item: str, run: str | None = None) -> Response:
        served = self.shelf[run]
        edition = served.edition
        row = int(edition.recommender.catalogue.index_of([item])[0])
        found = None if row < 0 else picture_file(edition, row, served.pictures)
        if found is None:
            raise Refusal(404, "picture: this item has none here")
        return FileResponse(
            found[0], media_type=found[1], headers={"cache-control": "private, max-age=3600"}
        )

    async def asset(self, name: str) -> Response:
        if name not in ASSETS:
            raise Refusal(404, "asset: unknown")
        return FileResponse(
            Path(__file__).parent / "page" / name,
            media_type=ASSETS[name],
            headers={"cache-control": "no-cache"},
        )


async def _in_thread(job: Callable[[], Response]) -> Response:
    """Render a page in a thread, so that the event loop is free."""
    return await asyncio.to_thread(contained, job)


async def _column(served: Served, state: State) -> Column:
    """Ask one run; a filter that it refuses is told in its column."""
    try:
        request = Request(
            history=state.history,
            k=state.k,
            exclude_seen=not state.seen,
            where=state.where or None,
        )
        edition, found = await served.recommend(request)
    except MgrecError as error:
        edition = served.edition
        return Column(edition.run, edition.version, "", [], one_line(error))
    rows = edition.recommender.catalogue.index_of(found.item_ids).tolist()
    shown = cards(edition, rows, served.pictures, [item.score for item in found])
    return Column(edition.run, edition.version, found.reason, shown)


def _sentences(explanation: Explanation) -> list[list[tuple[bool, str]]]:
    """Split each sentence into names of items and other text, so that each name can be isolated.

    A name that is written from right to left would otherwise reorder the text around it.
    """
    names = {called(explanation.item_id, explanation.title)}
    names |= {called(past.item_id, past.title) for past in explanation.past}
    pattern = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    return [
        [(place % 2 == 1, text) for place, text in enumerate(re.split(f"({pattern})", sentence))]
        for sentence in explanation.words()
    ]


def _chosen(shelf: Shelf, state: State) -> list[Served]:
    return [shelf[name] for name in state.runs] or list(shelf.runs.values())


def _log(edition: Edition, user: str) -> list[str] | None:
    """Return the last items of a user's log, None where the user is unknown."""
    made = edition.recommender
    row = made.users.row(user)
    if row is None:
        return None
    last = np.asarray(made.users.log[row])[-HISTORY:].tolist()
    return [str(made.catalogue.item_ids[row]) for row in last]


def _kept(
    edition: Edition, ids: Sequence[str], rows: Any, pictures: Sequence[Path]
) -> list[tuple[str, Card | None]]:
    """Return the history's items with their cards; None for what the catalogue does not know."""
    known = iter(cards(edition, rows[rows >= 0].tolist(), pictures))
    return [(item, next(known) if row >= 0 else None) for item, row in zip(ids, rows, strict=True)]


def _report(served: Served) -> Path | None:
    file = served.path / REPORT
    return file if kind_of(file) == "a file" else None  # no link out of the folder


def _score(value: float) -> str:
    return f"{value:.2f}".replace("-", "\N{MINUS SIGN}")


def _count(value: int) -> str:
    return f"{value:,}"
