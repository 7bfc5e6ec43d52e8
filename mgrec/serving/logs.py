"""Logs as JSON lines on the error stream, each with the id of the request that it is about."""

from __future__ import annotations

import json
import logging
import re
import secrets
import sys
from contextvars import ContextVar
from datetime import UTC, datetime

from mgrec.errors import RequestError

LEVELS = ("debug", "info", "warning", "error")
LOGGER = logging.getLogger("mgrec.serving")
request_id: ContextVar[str] = ContextVar("request_id", default="")

_GIVEN = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)


def id_of(given: str | None) -> str:
    """Return the id that a client gave its request, or a new one where it gave none that is fit."""
    if given is not None and _GIVEN.fullmatch(given):
        return given
    return secrets.token_hex(8)


def event(name: str, *, level: int = logging.INFO, **facts: object) -> None:
    """Log that something happened, with what there is to know of it."""
    LOGGER.log(level, name, extra={"facts": facts})


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, event, request_id where there is one, facts."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
        }
        if record.name != LOGGER.name:
            line["logger"] = record.name
        if found := request_id.get():
            line["request_id"] = found
        line |= getattr(record, "facts", {})
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        # ASCII only: control characters and reversed text could mislead a reader of the log.
        return json.dumps(line, default=str)


def to_stderr(level: str = "info") -> None:
    """Send the logs of mgrec, uvicorn and asyncio to the error stream.

    Raises
    ------
    RequestError
        If the level is not one of `LEVELS`.
    """
    if level.lower() not in LEVELS:
        raise RequestError(f"log level {level!r}: expected one of {', '.join(LEVELS)}")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    for name in (LOGGER.name, "uvicorn", "asyncio"):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(level.upper())
        logger.propagate = False
