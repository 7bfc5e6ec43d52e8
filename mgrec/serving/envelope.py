"""What goes round every answer: its request's id, a log line, figures, and headers for safety."""

from __future__ import annotations

import asyncio
import base64
import logging
import time
from hashlib import sha256

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mgrec.explain.picture import STYLE
from mgrec.serving import logs
from mgrec.serving.answers import error
from mgrec.serving.metrics import Metrics

# The page takes everything from its own server, and nothing of it stands in the page itself but
# the style of an explanation's picture, whose hash is named.
_STYLE = base64.b64encode(sha256(STYLE.encode()).digest()).decode()
POLICY = (
    f"default-src 'none'; img-src 'self'; style-src 'self' 'sha256-{_STYLE}'; script-src 'self';"
    " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


class Envelope:
    """ASGI middleware round everything else; a fault of ours ends here, as a 500 of one line."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun = time.perf_counter()
        mark = logs.id_of(Headers(scope=scope).get("x-request-id"))
        token = logs.request_id.set(mark)
        status = 0

        async def sealed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(raw=message.setdefault("headers", []))
                headers["x-request-id"] = mark
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self.app(scope, receive, sealed)
        except (asyncio.CancelledError, KeyboardInterrupt, SystemExit):
            raise
        except BaseException:  # a panic of Polars is not an Exception
            logs.LOGGER.exception("fault")
            if not status:
                await error(500, "a fault of the server; its log says more")(scope, receive, sealed)
        finally:
            seconds = time.perf_counter() - begun
            status = status or 499  # the client left before its answer
            route = getattr(scope.get("route"), "path", "other")
            self.metrics.requests.labels(route, str(status)).inc()
            self.metrics.seconds.labels(route).observe(seconds)
            logs.event(
                "request",
                level=logging.ERROR if status >= 500 else logging.INFO,
                method=scope["method"],
                path=scope["path"],
                status=status,
                ms=round(seconds * 1000, 2),
                **scope.get("state", {}).get("facts", {}),
            )
            logs.request_id.reset(token)
