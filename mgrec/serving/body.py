"""A request's body: read whole before anything looks at it, within size, depth and time."""

from __future__ import annotations

import asyncio
import re

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mgrec.serving.answers import refused
from mgrec.serving.limits import Limits
from mgrec.serving.refusals import Refusal, busy

UPLOAD = "/v1/items"
# A string of JSON as a whole, ended or not, or a bracket. Possessive, so that it takes linear time.
_PARTS = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)


class BodyGuard:
    """ASGI middleware that refuses bodies before they are parsed: 408, 413, 415, 400."""

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self.app, self.limits = app, limits
        self._uploads = 0  # under way

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self.app(scope, receive, send)
            return
        upload = scope["path"] == UPLOAD and scope["method"] == "POST"
        if upload and self._uploads >= self.limits.uploads:
            full = busy(f"{self._uploads} additions of items are under way, expected fewer")
            await refused(full)(scope, receive, send)
            return
        self._uploads += upload
        try:
            most = self.limits.upload if upload else self.limits.body
            await self._guarded(scope, receive, send, most)
        finally:
            self._uploads -= upload

    async def _guarded(self, scope: Scope, receive: Receive, send: Send, most: int) -> None:
        try:
            body = await self._read(scope, receive, most)
            check_depth(body, self.limits.depth)
        except Refusal as refusal:
            await refused(refusal)(scope, receive, send)
            return
        given = False

        async def replay() -> Message:
            nonlocal given
            if given:
                return await receive()  # what comes after a body: the client's leaving
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self.app(scope, replay, send)

    async def _read(self, scope: Scope, receive: Receive, most: int) -> bytes:
        headers = dict(scope["headers"])
        large = Refusal(413, f"body: expected at most {most:,} bytes, found more")
        declared = headers.get(b"content-length", b"0")
        if not declared.isdigit() or int(declared) > 4 * most:
            raise large
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self.limits.reading):
                while True:
                    message = await receive()
                    if message["type"] != "http.request":
                        raise Refusal(400, "body: the client left before its end")
                    size += len(message.get("body", b""))
                    # A little too much is read and thrown away: a client that is still sending
                    # would otherwise see a broken connection and not the answer.
                    if size > 4 * most:
                        raise large
                    if size <= most:
                        parts.append(message.get("body", b""))
                    if not message.get("more_body", False):
                        break
        except TimeoutError:
            raise Refusal(
                408, f"body: expected all of it within {self.limits.reading:g} s"
            ) from None
        if size > most:
            raise large
        kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        # A browser asks before it sends this type to another site, so that no page of somebody
        # else's can make it change a catalogue.
        if size and kind != b"application/json":
            raise Refusal(415, "body: expected the content type application/json")
        return b"".join(parts)


def check_depth(body: bytes, most: int) -> None:
    """Refuse JSON that nests deeper than `most`; what is no JSON is left to the parser.

    Raises
    ------
    Refusal
        400 with the depth that is expected.
    """
    depth = 0
    for part in _PARTS.finditer(body):
        found = body[part.start()]
        if found in b"[{":
            depth += 1
            if depth > most:
                raise Refusal(400, f"body: expected JSON at most {most} levels deep, found more")
        elif found in b"]}":
            depth -= 1
