"""A request's body: read whole before anything looks at it, within size, depth and time."""

from __future__ import annotations

import asyncio
import json
import re

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mgrec.serving.answers import refused
from mgrec.serving.limits import Limits
from mgrec.serving.refusals import Refusal, busy

UPLOAD = "/v1/items"
# A string of JSON as a whole, ended or not, or a bracket. Possessive, so that it takes linear time.
_PARTS = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)


class _Room:
    """A limit for the bytes of all bodies of one kind while they arrive."""

    def __init__(self, most: int) -> None:
        self.left = most

    def take(self, size: int) -> None:
        if size > self.left:
            raise busy("too many bodies are arriving at once, expected fewer; try again")
        self.left -= size

    def give(self, size: int) -> None:
        self.left += size


class BodyGuard:
    """ASGI middleware that refuses bodies before they are parsed: 408, 413, 415, 400, 503."""

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self.app, self.limits = app, limits
        self._uploads = 0  # complete bodies that are being added
        self._small = _Room(limits.bodies)
        self._large = _Room(max(limits.uploads, 1) * limits.upload)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self.app(scope, receive, send)
            return
        upload = scope["path"] == UPLOAD and scope["method"] == "POST"
        try:
            body = await self._read(scope, receive, upload)
            check_depth(body, self.limits.depth)
            if upload:
                # Counted only when the body is complete, so that slow ones take no place.
                if self._uploads >= self.limits.uploads:
                    raise busy(f"{self._uploads} additions of items are running, expected fewer")
            else:
                check_unique(body)
        except Refusal as refusal:
            await refused(refusal)(scope, receive, send)
            return
        self._uploads += upload
        try:
            await self.app(scope, _replayed(body, receive), send)
        finally:
            self._uploads -= upload

    async def _read(self, scope: Scope, receive: Receive, upload: bool) -> bytes:
        """Read a whole body."""
        most = self.limits.upload if upload else self.limits.body
        headers = dict(scope["headers"])
        declared = headers.get(b"content-length", b"0")
        if not declared.isdigit() or len(declared) > 18 or int(declared) > 4 * most:
            raise _large(most)
        if b"transfer-encoding" in headers and b"content-length" in headers:
            # A proxy in front of this server could see another body.
            raise Refusal(400, "body: found both Content-Length and Transfer-Encoding")
        room = self._large if upload else self._small
        parts: list[bytes] = []
        try:
            async with asyncio.timeout(self.limits.reading):
                size = await _collect(receive, most, room, parts)
        except TimeoutError:
            raise Refusal(
                408, f"body: expected all of it within {self.limits.reading:g} s"
            ) from None
        finally:
            room.give(sum(map(len, parts)))
        if size > most:
            raise _large(most)
        kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        # A browser asks before it sends this type to another site, so that no page of another
        # site can make it change a catalogue.
        if size and kind != b"application/json":
            raise Refusal(415, "body: expected the content type application/json")
        return b"".join(parts)


async def _collect(receive: Receive, most: int, room: _Room, parts: list[bytes]) -> int:
    """Read a body into `parts`, up to `most` bytes; return its size."""
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise Refusal(400, "body: the client left before its end")
        part = message.get("body", b"")
        size += len(part)
        # A small excess is read and dropped: a client that is still sending would otherwise see a
        # broken connection instead of the answer.
        if size > 4 * most:
            raise _large(most)
        if size <= most:
            room.take(len(part))
            parts.append(part)
        if not message.get("more_body", False):
            return size


def _large(most: int) -> Refusal:
    return Refusal(413, f"body: expected at most {most:,} bytes, found more")


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that delivers a body that was read already."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()  # after the body: a disconnect
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


def check_unique(body: bytes) -> None:
    """Refuse JSON with a repeated field; invalid JSON is left to the parser.

    Raises
    ------
    Refusal
        400 with the field's name.
    """

    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        found: dict[str, object] = {}
        for name, value in pairs:
            if name in found:
                raise Refusal(400, f"body: found the field {name[:100]!r} twice, expected it once")
            found[name] = value
        return found

    try:
        json.loads(body, object_pairs_hook=unique)
    except ValueError:  # includes bytes that are not text
        return


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
