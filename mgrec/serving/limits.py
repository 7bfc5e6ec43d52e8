"""How much one request may ask for, and how long it may take."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from mgrec.errors import RequestError

# These stand in the OpenAPI document, so that they are the same on every server.
HISTORY = 1_000  # items of a history
K = 200  # items of an answer
IDS = 10_000  # ids in a list: only, exclude, remove
WHERE = 1_000  # characters of a filter
ID = 256  # characters of an id
BEAMS = 200
ITEMS = 20_000  # items added by one request
FIELDS = 100  # columns that an item brings


@dataclass(frozen=True)
class Limits:
    """What an operator may set.

    Attributes
    ----------
    body : bytes of a request, all but those that add items
    upload : bytes of a request that adds items, pictures and vectors included
    uploads : additions of items at once, counted when their bodies are complete; above that 503.
        Bodies of additions that are still arriving hold `uploads` times `upload` bytes in total
    bodies : bytes of all other bodies that are arriving; above that 503
    depth : how deep JSON may nest
    seconds : that an answer may take, from the last byte of its request on; then 504
    reading : seconds in which a request's body must have come; then 408
    head : seconds for a request's line and headers; then 408
    idle : seconds that a connection stays open without a request
    writing : seconds that a client may leave an answer unread; then its connection is closed
    connections : maximum open connections, also bounded by the limit of open files; above that,
        the one that has waited longest for its client is closed
    waiting : requests for recommendations that may wait for the model; above that 503
    others : explanations and searches for similar items that may wait; above that 503
    batch : requests that are answered together, at most
    wait : seconds that the first of a batch waits for others
    grace : seconds in which what was accepted is answered when the server stops
    stopping : seconds that a client has to send its body or read its answer once the server stops
    watch : seconds between two looks for a new version on disk; 0 never looks
    stuck : seconds that a thread of the model may run one job before the server is not ready
    """

    body: int = 1 << 20
    upload: int = 64 << 20
    uploads: int = 4
    bodies: int = 128 << 20
    depth: int = 16
    seconds: float = 5.0
    reading: float = 30.0
    head: float = 10.0
    idle: float = 5.0
    writing: float = 30.0
    connections: int = 768
    waiting: int = 512
    others: int = 16
    batch: int = 32
    wait: float = 0.002
    grace: float = 30.0
    stopping: float = 3.0
    watch: float = 2.0
    stuck: float = 30.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not math.isfinite(value) or value < 0:
                raise RequestError(f"{field.name}: found {value}, expected a number from 0 on")
