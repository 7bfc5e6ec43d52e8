"""What those who watch a server ask: does it live, may it be asked, what are its figures."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from mgrec.serving.metrics import CONTENT_TYPE, Metrics
from mgrec.serving.refusals import busy
from mgrec.serving.shelf import Shelf


def probes(shelf: Shelf, metrics: Metrics) -> APIRouter:
    """Return the routes; they need no key, and tell nothing of items or users."""
    routes = APIRouter()

    @routes.head("/healthz", include_in_schema=False)
    @routes.get("/healthz", summary="Whether the process lives")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @routes.head("/readyz", include_in_schema=False)
    @routes.get("/readyz", summary="Whether it may be asked")
    async def readyz() -> dict[str, object]:
        if trouble := shelf.trouble():
            raise busy(f"not ready: {trouble}")
        versions = {name: served.edition.version for name, served in shelf.runs.items()}
        return {"status": "ready", "versions": versions}

    @routes.get("/metrics", summary="Figures for Prometheus", response_class=Response)
    async def figures() -> Response:
        return Response(metrics.text(), media_type=CONTENT_TYPE)

    return routes
