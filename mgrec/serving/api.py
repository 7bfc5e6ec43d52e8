"""The API under /v1: recommend, similar, explain, and changes of the catalogue."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter
from fastapi import Request as Call
from pydantic import BaseModel

from mgrec.requests import Request
from mgrec.serving import schemas as s
from mgrec.serving.body import check_unique
from mgrec.serving.edition import Edition
from mgrec.serving.live import Change
from mgrec.serving.refusals import Refusal
from mgrec.serving.shelf import Served, Shelf
from mgrec.serving.uploads import add_items

_ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"model": s.Error, "description": "The body cannot be read."},
    401: {"model": s.Error, "description": "No known API key."},
    403: {"model": s.Error, "description": "The key may only read."},
    404: {"model": s.Error, "description": "No such run or item."},
    408: {"model": s.Error, "description": "The body came too slowly."},
    409: {
        "model": s.Error,
        "description": "The folder contains an artifact that is not in service.",
    },
    413: {"model": s.Error, "description": "The body is too large."},
    415: {"model": s.Error, "description": "The body is not JSON."},
    422: {"model": s.Error, "description": "The request fits no answer."},
    503: {"model": s.Error, "description": "Too many requests wait, or the folder cannot be read."},
    504: {"model": s.Error, "description": "No answer in time."},
    507: {"model": s.Error, "description": "The disk is full or cannot be written."},
}


def api(shelf: Shelf) -> APIRouter:
    """Return the routes over a shelf."""
    routes = APIRouter(prefix="/v1", responses=_ERRORS)

    @routes.get("/runs", summary="The served runs")
    async def runs() -> list[s.RunAnswer]:
        return [_described(served) for served in shelf.runs.values()]

    @routes.post("/recommend", summary="Recommend items")
    async def recommend(asked: s.RecommendRequest, call: Call) -> s.RecommendAnswer:
        served = shelf[asked.run]
        request = Request(**asked.model_dump(exclude={"run"}))
        edition, found = await served.recommend(request)
        _note(call, edition)
        return s.RecommendAnswer(
            run=edition.run,
            version=edition.version,
            items=_scored(edition, [(item.item_id, item.score) for item in found]),
            reason=found.reason,
            generated=found.generated,
            known=found.known,
        )

    @routes.post("/similar", summary="Find items like an item")
    async def similar(asked: s.SimilarRequest, call: Call) -> s.SimilarAnswer:
        def look(edition: Edition) -> list[s.Scored]:
            _known(edition, asked.item_id)
            found = edition.recommender.similar(
                asked.item_id, asked.k, by=asked.by, where=asked.where
            )
            return _scored(edition, [(item.item_id, item.score) for item in found])

        edition, items = await shelf[asked.run].ask(look)
        _note(call, edition)
        return s.SimilarAnswer(run=edition.run, version=edition.version, items=items)

    @routes.post("/explain", summary="Explain a recommendation")
    async def explain(asked: s.ExplainRequest, call: Call) -> s.ExplainAnswer:
        if (asked.history is None) == (asked.user is None):
            raise Refusal(422, "explain: expected either a history or a user, and not both")

        def look(edition: Edition) -> tuple[list[str], dict[str, Any]]:
            _known(edition, asked.item_id)
            found = edition.recommender.explain(
                asked.item_id, history=asked.history, user=asked.user
            )
            return found.words(), found.to_dict()

        edition, (words, parts) = await shelf[asked.run].ask(look)
        _note(call, edition)
        return s.ExplainAnswer(run=edition.run, version=edition.version, words=words, parts=parts)

    @routes.post(
        "/items",
        summary="Add items",
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": _schema(s.AddRequest)}},
            }
        },
    )
    async def add(call: Call) -> s.ChangeAnswer:
        body = await call.body()
        # Read in the writers' thread: a large upload would hold up everybody else's answers.
        asked = await shelf.write(lambda: _additions(body))
        served = shelf[asked.run]
        return _changed(call, *await served.change("add", lambda live: add_items(live, asked)))

    @routes.delete("/items", summary="Remove items")
    async def remove(asked: s.RemoveRequest, call: Call) -> s.ChangeAnswer:
        served = shelf[asked.run]
        return _changed(
            call, *await served.change("remove", lambda live: live.remove_items(asked.item_ids))
        )

    @routes.post("/rollback", summary="Return to the version before")
    async def rollback(asked: s.RunRequest, call: Call) -> s.ChangeAnswer:
        served = shelf[asked.run]
        return _changed(call, *await served.change("rollback", lambda live: live.rollback()))

    @routes.post("/reload", summary="Take what stands on disk into use")
    async def reload(asked: s.RunRequest, call: Call) -> s.ChangeAnswer:
        served = shelf[asked.run]
        return _changed(call, *await served.change("reload", lambda live: live.refresh()))

    return routes


def _additions(body: bytes) -> s.AddRequest:
    """Read a request that adds items."""
    check_unique(body)
    return s.AddRequest.model_validate_json(body)


def _schema(model: type[BaseModel]) -> dict[str, Any]:
    """Return the schema of a request that FastAPI does not read itself, in one piece."""
    schema = model.model_json_schema()
    parts = schema.pop("$defs", {})
    schema["properties"]["items"]["items"] = parts.pop("NewItem")
    assert not parts
    return schema


def _note(call: Call, edition: Edition) -> None:
    """Tell the log which version answered."""
    call.state.facts = {"run": edition.run, "version": edition.version}


def _scored(edition: Edition, found: list[tuple[int | str, float]]) -> list[s.Scored]:
    rows = edition.recommender.catalogue.index_of([item for item, _ in found]).tolist()
    names = edition.titles(rows)
    return [
        s.Scored(item_id=item, score=score, title=name)
        for (item, score), name in zip(found, names, strict=True)
    ]


def _known(edition: Edition, item: int | str) -> int:
    row = int(edition.recommender.catalogue.index_of([item])[0])
    if row < 0:
        raise Refusal(404, f"item {item!r}: not in the catalogue")
    return row


def _changed(call: Call, edition: Edition, change: Any) -> s.ChangeAnswer:
    _note(call, edition)
    return s.ChangeAnswer(
        run=edition.run,
        version=edition.version,
        items=edition.n_items,
        change=asdict(change) if isinstance(change, Change) else {"found": change},
    )


def _described(served: Served) -> s.RunAnswer:
    edition = served.edition
    made = edition.recommender
    return s.RunAnswer(
        run=edition.run,
        version=edition.version,
        items=edition.n_items,
        users=len(made.users),
        modalities=list(made.recipe.ids.modalities),
        attributes={name: str(kind) for name, kind in edition.attributes.items()},
        metrics=made.facts.get("test", {}).get("metrics", {}),
        refused=served.live.refused,
    )
