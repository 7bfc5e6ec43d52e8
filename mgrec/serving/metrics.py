"""Figures for Prometheus: how many requests, how long, how full the batches are."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST as CONTENT_TYPE

__all__ = ["CONTENT_TYPE", "Metrics"]

_SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 30)
_SIZES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """The figures of one server; a registry of its own, so that two in one process do not mix."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "mgrec_requests_total",
            "Requests answered, by route and status.",
            ["route", "status"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "mgrec_request_seconds",
            "Time from the first byte of a request to the last of its answer.",
            ["route"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.batches = Histogram(
            "mgrec_batch_requests",
            "Requests that the model answered together.",
            ["run"],
            buckets=_SIZES,
            registry=self.registry,
        )
        self.model = Histogram(
            "mgrec_model_seconds",
            "Time of the model for one batch.",
            ["run"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.changes = Counter(
            "mgrec_catalogue_changes_total",
            "Catalogue versions taken into use, by what made them.",
            ["run", "kind"],
            registry=self.registry,
        )
        self.items = Gauge(
            "mgrec_catalogue_items", "Items of the served version.", ["run"], registry=self.registry
        )
        self._waiting = Gauge(
            "mgrec_waiting_requests", "Requests that wait for the model.", registry=self.registry
        )

    def watch_waiting(self, count: Callable[[], int]) -> None:
        """Ask `count` for the number of waiting requests whenever the figures are read."""
        self._waiting.set_function(count)

    def text(self) -> bytes:
        """Return all figures in Prometheus' text format."""
        return generate_latest(self.registry)
