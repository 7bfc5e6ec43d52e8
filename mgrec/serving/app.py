"""The application: every route, with everything that stands round them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus

from fastapi import FastAPI
from fastapi import Request as Call
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

import mgrec
from mgrec.errors import ArtifactError, MgrecError, StorageError
from mgrec.serving import answers
from mgrec.serving.api import api
from mgrec.serving.body import BodyGuard
from mgrec.serving.envelope import Envelope
from mgrec.serving.hosts import LOOPBACK, HostGuard
from mgrec.serving.keys import KeyGuard, Keys
from mgrec.serving.limits import Limits
from mgrec.serving.live import NotAccepted
from mgrec.serving.metrics import Metrics
from mgrec.serving.pages import pages
from mgrec.serving.probes import probes
from mgrec.serving.refusals import Refusal, of_validation
from mgrec.serving.shelf import Shelf

# Errors of the library: the first match counts; all others are 422.
_STATUSES = ((NotAccepted, 409), (StorageError, 507), (ArtifactError, 503))


def application(
    shelf: Shelf,
    metrics: Metrics,
    limits: Limits | None = None,
    keys: Keys | None = None,
    hosts: Sequence[str] = (*LOOPBACK, "testserver"),
) -> FastAPI:
    """Return the ASGI application over a shelf.

    Parameters
    ----------
    hosts : names under which it may be asked; "*" is any. On loopback this keeps out pages of
        other sites whose own name was made to mean this machine.
    """
    limits, keys = limits or Limits(), keys or Keys()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        shelf.start()
        yield
        await shelf.close()

    app = FastAPI(
        title="mgrec",
        version=mgrec.__version__,
        summary="Multimodal generative recommendation.",
        lifespan=lifespan,
        docs_url=None,  # FastAPI's pages take their scripts from another network
        redoc_url=None,
        exception_handlers={
            MgrecError: _refused,
            RequestValidationError: _invalid,
            ValidationError: _invalid,
            HTTPException: _http,
        },
    )
    app.include_router(api(shelf))
    app.include_router(probes(shelf, metrics))
    app.include_router(pages(shelf))
    # The last one added stands outermost.
    app.add_middleware(BodyGuard, limits=limits)
    app.add_middleware(KeyGuard, keys=keys)
    app.add_middleware(HostGuard, hosts=hosts)
    app.add_middleware(Envelope, metrics=metrics)
    return app


async def _refused(call: Call, error: Exception) -> Response:
    if isinstance(error, Refusal):
        return answers.refused(error)
    status = next((status for kind, status in _STATUSES if isinstance(error, kind)), 422)
    return answers.error(status, error)


async def _invalid(call: Call, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError | ValidationError)
    return answers.error(422, of_validation(error.errors()))


async def _http(call: Call, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    phrase = HTTPStatus(error.status_code).phrase.lower()
    known = str(error.detail)
    line = phrase if known.lower() == phrase else f"{phrase}: {known}"
    return answers.error(error.status_code, line, error.headers)
