"""How much one request may ask for, and how long it may take."""

from __future__ import annotations

from dataclasses import dataclass

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
    uploads : requests that add items, at once; above that 503, since each may hold `upload` bytes
    depth : how deep JSON may nest
    seconds : that an answer may take, from the last byte of its request on; then 504
    reading : seconds in which a request's body must have come; then 408
    waiting : requests that may wait for the model; above that 503
    batch : requests that are answered together, at most
    wait : seconds that the first of a batch waits for others
    grace : seconds in which what was accepted is answered when the server stops
    watch : seconds between two looks for a new version on disk; 0 never looks
    """

    body: int = 1 << 20
    upload: int = 64 << 20
    uploads: int = 4
    depth: int = 16
    seconds: float = 5.0
    reading: float = 30.0
    waiting: int = 512
    batch: int = 32
    wait: float = 0.002
    grace: float = 30.0
    watch: float = 2.0
