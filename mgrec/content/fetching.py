"""One address to its bytes: over HTTP alone, at a bounded rate, patiently, and never too much."""

from __future__ import annotations

import http.client
import threading
import time
import urllib.error
from collections import Counter
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    UnknownHandler,
)

from mgrec.errors import RequestError

_HEADERS = {"User-Agent": "mgrec (pictures of a catalogue)", "Accept": "image/*"}
_PASSING = {408, 425, 429, 500, 502, 503, 504}  # what a server says today and not tomorrow
_LONGEST_WAIT = 60.0  # seconds, whatever a server asks for
_SLOW = 6  # timeouts that a whole body may take
# Links of one host in a row that got no answer at all, after which the host is left alone.
_SILENT = 20


@dataclass(frozen=True)
class Limits:
    """How hard to try.

    Attributes
    ----------
    workers : int
        Requests at the same time.
    rate : float
        Requests a second, all workers and attempts together.
    attempts : int
        How often a link is tried where the failure may pass.
    backoff : float
        Seconds before the second attempt; doubled before every further one.
    timeout : float
        Seconds without a byte.
    megabytes : float
        Largest picture.
    """

    workers: int = 8
    rate: float = 20.0
    attempts: int = 4
    backoff: float = 1.0
    timeout: float = 15.0
    megabytes: float = 10.0

    def __post_init__(self) -> None:
        for name, least in {"workers": 1, "attempts": 1}.items():
            if getattr(self, name) < least:
                found = getattr(self, name)
                raise RequestError(f"{name}: found {found}, expected at least {least}")
        for name in ("rate", "backoff", "timeout", "megabytes"):
            if not 0 < getattr(self, name) < float("inf"):
                raise RequestError(f"{name}: found {getattr(self, name)}, expected more than 0")


class FetchProblem(Exception):
    """An address that gives nothing; ``kind`` groups it with others."""

    def __init__(self, kind: str, again: bool = False, wait: float = 0, silent: bool = False):
        super().__init__(kind)
        self.kind, self.again, self.wait, self.silent = kind, again, wait, silent


class Fetcher:
    """Fetches addresses for several threads at once, within limits; ``stop`` ends all waiting."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.stop = threading.Event()
        self._opener = _opener()
        self._lock = threading.Lock()
        self._next = 0.0
        self._silent: Counter[str] = Counter()  # links in a row without an answer, by host

    def fetch(self, url: str) -> bytes:
        """Return what is at ``url``.

        Raises
        ------
        FetchProblem
            If it is no HTTP address, or gives nothing within the limits.
        """
        plain, host = _address(url)
        for attempt in range(self.limits.attempts):
            if self._silent[host] >= _SILENT:
                raise FetchProblem("host does not answer")
            self._pace()
            try:
                body = self._once(plain)
            except FetchProblem as problem:
                last = attempt + 1 == self.limits.attempts
                if last or not problem.again or self.stop.is_set():
                    self._heard(host, problem.silent)
                    raise
                self.stop.wait(max(self.limits.backoff * 2**attempt, problem.wait))
            else:
                self._heard(host, silent=False)
                return body
        raise AssertionError("the last attempt returns or raises")

    def _pace(self) -> None:
        """Wait for this request's turn."""
        with self._lock:
            now = time.monotonic()
            turn = max(now, self._next)
            self._next = turn + 1 / self.limits.rate
        if self.stop.wait(turn - now):
            raise FetchProblem("interrupted")

    def _heard(self, host: str, silent: bool) -> None:
        with self._lock:
            self._silent[host] = self._silent[host] + 1 if silent else 0

    def _once(self, url: str) -> bytes:
        try:
            request = Request(url, headers=_HEADERS)
            with self._opener.open(request, timeout=self.limits.timeout) as response:
                return self._body(response)
        except urllib.error.HTTPError as error:
            with error:
                wait = _seconds(error.headers.get("Retry-After"))
                raise FetchProblem(f"HTTP {error.code}", error.code in _PASSING, wait) from None
        except (http.client.InvalidURL, ValueError):
            raise FetchProblem("malformed link") from None
        except http.client.IncompleteRead:
            raise FetchProblem("cut off", again=True) from None
        except http.client.HTTPException:
            raise FetchProblem("not HTTP", again=True) from None
        except OSError as error:  # URLError and time-outs are among them
            reason = getattr(error, "reason", error)
            if "unknown url type" in str(reason):  # where a redirect leaves HTTP
                raise FetchProblem("not an HTTP link") from None
            kind = "timed out" if isinstance(reason, TimeoutError) else "cannot be reached"
            raise FetchProblem(kind, again=True, silent=True) from None

    def _body(self, response: Any) -> bytes:
        most = int(self.limits.megabytes * 1e6)
        length = response.headers.get("Content-Length", "")
        expected = int(length) if length.isdecimal() else None
        too_large = FetchProblem(f"over {self.limits.megabytes:g} MB")
        if expected is not None and expected > most:
            raise too_large
        end = time.monotonic() + _SLOW * self.limits.timeout
        body = bytearray()
        # read1 returns what has come; read would wait for a whole part, however slowly it drips.
        while part := response.read1(1 << 16):
            body += part
            if len(body) > most:
                raise too_large
            if self.stop.is_set() or time.monotonic() > end:
                raise FetchProblem("timed out", again=True)
        if expected is not None and len(body) < expected:
            raise FetchProblem("cut off", again=True)
        return bytes(body)


def _opener() -> OpenerDirector:
    """Return an opener that knows HTTP alone: urllib's own would also open files and FTP."""
    opener = OpenerDirector()
    for handler in (
        ProxyHandler,
        UnknownHandler,
        HTTPHandler,
        HTTPSHandler,
        HTTPDefaultErrorHandler,
        HTTPRedirectHandler,
        HTTPErrorProcessor,
    ):
        opener.add_handler(handler())
    return opener


def _address(url: str) -> tuple[str, str]:
    """Return a link as it may be asked for, and its host."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        raise FetchProblem("malformed link") from None
    if parts.scheme not in ("http", "https") or not host:
        raise FetchProblem("not an HTTP link")
    return quote(url, safe="%:/?#[]@!$&'()*+,;=~"), host


def _seconds(text: str | None) -> float:
    """Return what a server asks to wait; a date counts as not said."""
    return min(float(text), _LONGEST_WAIT) if text and text.isdecimal() else 0.0
