"""Running the application under uvicorn, until a signal ends it."""

from __future__ import annotations

import contextlib
import functools
import gc
import logging
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import torch
import uvicorn

from mgrec.errors import RequestError
from mgrec.serving import logs
from mgrec.serving.app import application
from mgrec.serving.connections import BoundedProtocol, Connections
from mgrec.serving.hosts import allowed, check_exposure
from mgrec.serving.keys import Keys
from mgrec.serving.limits import Limits
from mgrec.serving.metrics import Metrics
from mgrec.serving.shelf import Shelf

HEADERS = 16 << 10  # bytes of a request's line and headers
CLOSING = 5.0  # seconds of the grace period reserved for closing after the last answer


def serve(
    runs: Sequence[Path],
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    pictures: Sequence[Path] = (),
    encoders: Sequence[str] = (),
    keys: Keys | None = None,
    limits: Limits | None = None,
    hosts: Sequence[str] = (),
    no_keys: bool = False,
    accept: bool = False,
    threads: int = 1,
    log_level: str = "info",
) -> None:
    """Serve runs until SIGTERM or SIGINT; what was accepted by then is still answered.

    Parameters
    ----------
    runs : artifact folders; the first answers where a request names none
    host : the address to listen at
    pictures : the folders of their data, in the same order, or one for all
    encoders : names of encoders that may be loaded, see `Recommender.add_items`
    hosts : host names that requests may use; see `hosts.allowed` for the default
    no_keys : listen beyond loopback without keys, so that any client can read and change everything
    accept : accept every new artifact in the folder of a run; see `gate`
    threads : of the CPU for the model; one leaves the rest to HTTP, and small batches lose little

    Raises
    ------
    ArtifactError, RequestError
        If a run cannot be read, two have the same name, a host's name is not valid, or keys are
        missing beyond loopback.
    """
    check_exposure(host, has_keys=keys is not None, no_keys=no_keys)
    answers_to = allowed(host, hosts)
    logs.to_stderr(log_level)
    named = names(runs)
    folders = _beside(list(named), pictures)
    limits, metrics = limits or Limits(), Metrics()
    torch.set_num_threads(threads)
    shelf = Shelf(named, limits, metrics, folders, encoders, accept=accept)
    app = application(shelf, metrics, limits, keys, answers_to)
    # What is there now stays: a full collection that looked through it would hold up every answer.
    gc.collect()
    gc.freeze()
    run(app, host=host, port=port, limits=limits)


def run(app: Any, *, host: str, port: int, limits: Limits) -> None:
    """Serve an ASGI application until a signal ends the process, within `limits.grace` seconds."""
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        http=functools.partial(BoundedProtocol, Connections(limits)),  # type: ignore[arg-type]
        ws="none",
        lifespan="on",  # a start that fails ends it; left to itself it would serve on, half begun
        backlog=128,
        h11_max_incomplete_event_size=HEADERS,
        timeout_keep_alive=limits.idle,  # type: ignore[arg-type]  # fractions work too
        timeout_graceful_shutdown=max(limits.grace - CLOSING, limits.grace / 2),  # type: ignore[arg-type]
    )
    server = _Server(config, limits.grace)
    with contextlib.suppress(KeyboardInterrupt):  # raised again by uvicorn once it has stopped
        server.run()
    if not server.started:
        sys.exit(3)


class _Server(uvicorn.Server):
    """uvicorn that ends after its grace period even if threads still run."""

    def __init__(self, config: uvicorn.Config, grace: float) -> None:
        super().__init__(config)
        self._grace = grace

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if not self.should_exit:
            end = threading.Timer(self._grace, _end, [self._grace])
            end.daemon = True
            end.start()
        super().handle_exit(sig, frame)


def _end(seconds: float) -> None:
    line = f"work was still running after {seconds:g} s"
    logs.event("ended", level=logging.ERROR, error=line)
    os._exit(1)


def names(runs: Sequence[Path]) -> dict[str, Path]:
    """Name runs by their folders.

    Raises
    ------
    RequestError
        If two have one name.
    """
    found: dict[str, Path] = {}
    for run in runs:
        name = run.resolve().name
        if name in found:
            raise RequestError(f"{run}: found a second run named '{name}', expected other names")
        found[name] = run
    return found


def _beside(names: Sequence[str], pictures: Sequence[Path]) -> dict[str, Path]:
    for folder in pictures:
        if not folder.is_dir():
            raise RequestError(f"{folder}: expected a folder below which the pictures lie")
    if len(pictures) == 1:
        return dict.fromkeys(names, pictures[0])
    if len(pictures) not in (0, len(names)):
        raise RequestError(
            f"pictures: found {len(pictures)} folders for {len(names)} runs, expected one or each"
        )
    return dict(zip(names, pictures, strict=False))
