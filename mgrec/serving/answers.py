"""Answers of HTTP as they leave: JSON, errors in one line."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import JSONResponse

from mgrec.serving import logs
from mgrec.serving.refusals import Refusal, one_line


def error(status: int, line: object, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Return an error: one line, and the id by which the log knows the request."""
    body = {"error": one_line(line), "request_id": logs.request_id.get()}
    return JSONResponse(body, status, dict(headers or {}))


def refused(refusal: Refusal) -> JSONResponse:
    """Return a refusal as an error."""
    return error(refusal.status, refusal, refusal.headers)
