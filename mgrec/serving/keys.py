"""API keys: who may read, and who may change the catalogue."""

from __future__ import annotations

import base64
import binascii
import hmac
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from mgrec.errors import RequestError
from mgrec.serving.answers import refused
from mgrec.serving.refusals import Refusal

SHORTEST = 16  # characters of a key
OPEN = ("/healthz", "/readyz", "/metrics")  # for those who watch; they tell of no item or user
SAFE = ("GET", "HEAD", "OPTIONS")
READING = ("/v1/recommend", "/v1/similar", "/v1/explain")  # they change nothing


@dataclass(frozen=True)
class Keys:
    """Digests of keys that read, and of keys that read and write. Without any, all is allowed.

    Attributes
    ----------
    read, write : SHA-256 of each key, so that a dump of memory holds none
    """

    read: tuple[bytes, ...] = ()
    write: tuple[bytes, ...] = ()

    @classmethod
    def of_file(cls, path: Path) -> Keys:
        """Read a file with ``read KEY`` or ``write KEY`` in each line.

        A word that begins with # begins a comment; a # inside a key belongs to the key.

        Raises
        ------
        RequestError
            If it cannot be read, a line is something else, or there is no key in it.
        """
        found: dict[str, list[bytes]] = {"read": [], "write": []}
        try:
            lines = path.read_text(encoding="utf-8-sig").split("\n")
        except UnicodeDecodeError:
            raise RequestError(f"{path}: expected text in UTF-8") from None
        except OSError as error:
            raise RequestError(f"{path}: cannot be read: {error.strerror}") from None
        for number, line in enumerate(lines, 1):
            words = list(itertools.takewhile(lambda word: not word.startswith("#"), line.split()))
            if not words:
                continue
            if len(words) != 2 or words[0] not in found or not _fit(words[1]):
                raise RequestError(
                    f"{path}: line {number}: expected 'read KEY' or 'write KEY',"
                    f" a key of at least {SHORTEST} printable ASCII characters"
                )
            found[words[0]].append(_digest(words[1]))
        if not any(found.values()):
            raise RequestError(f"{path}: no key found, expected 'read KEY' or 'write KEY' lines")
        return cls(tuple(found["read"]), tuple(found["write"]))

    def check(self, headers: Mapping[str, str], *, writing: bool) -> None:
        """Let a request pass, or refuse it.

        A key comes as ``Authorization: Bearer KEY``, as ``X-API-Key: KEY``, or, from a browser
        that asks its user, as the password of HTTP's basic authentication.

        Raises
        ------
        Refusal
            401 without a known key, 403 where a key that only reads would write.
        """
        if not self.read and not self.write:
            return
        given = _digest(_given(headers))
        writes, reads = _among(given, self.write), _among(given, self.read)
        if writes or (reads and not writing):
            return
        if reads:
            raise Refusal(403, "this key may only read, expected one that may write")
        raise Refusal(
            401,
            "no known API key, expected the header 'Authorization: Bearer KEY'",
            {"WWW-Authenticate": 'Basic realm="mgrec: any name, the API key as password"'},
        )


class KeyGuard:
    """ASGI middleware that asks for a key before anything of a request is read.

    Whatever is not named here needs a key: a route that is added later is not open by mistake.
    """

    def __init__(self, app: ASGIApp, keys: Keys) -> None:
        self.app, self.keys = app, keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in OPEN:
            writing = scope["method"] not in SAFE and scope["path"] not in READING
            try:
                self.keys.check(Headers(scope=scope), writing=writing)
            except Refusal as refusal:
                await refused(refusal)(scope, receive, send)
                return
        await self.app(scope, receive, send)


def _fit(key: str) -> bool:
    """Whether a key is long enough and can be sent in an HTTP header."""
    return len(key) >= SHORTEST and key.isascii() and key.isprintable()


def _among(given: bytes, keys: tuple[bytes, ...]) -> bool:
    """Compare with every key, each in constant time: time tells nobody how close he is."""
    found = False
    for key in keys:
        found |= hmac.compare_digest(given, key)
    return found


def _digest(key: str) -> bytes:
    return sha256(key.encode("utf-8", "surrogateescape")).digest()


def _given(headers: Mapping[str, str]) -> str:
    if key := headers.get("x-api-key"):
        return key.strip()
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return ""
