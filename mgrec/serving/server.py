"""Running the application under uvicorn, until a signal ends it."""

from __future__ import annotations

import gc
import ipaddress
from collections.abc import Sequence
from pathlib import Path

import torch
import uvicorn

from mgrec.errors import RequestError
from mgrec.serving import logs
from mgrec.serving.app import LOOPBACK, application
from mgrec.serving.keys import Keys
from mgrec.serving.limits import Limits
from mgrec.serving.metrics import Metrics
from mgrec.serving.shelf import Shelf

HEADERS = 16 << 10  # bytes of a request's line and headers


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
    hosts : names under which it may be asked; none means this machine's own on loopback, else any
    threads : of the CPU for the model; one leaves the rest to HTTP, and small batches lose little

    Raises
    ------
    ArtifactError, RequestError
        If a run cannot be read, two have one name, or a host's name is none.
    """
    for name in hosts:
        if "*" in name.removeprefix("*.") and name != "*":
            raise RequestError(f"host {name!r}: expected a name, '*.' and a name, or '*' for any")
    named = names(runs)
    folders = _beside(list(named), pictures)
    limits, metrics = limits or Limits(), Metrics()
    logs.to_stderr(log_level)
    torch.set_num_threads(threads)
    shelf = Shelf(named, limits, metrics, folders, encoders)
    allowed = tuple(hosts) or ((*LOOPBACK, host) if _is_loopback(host) else ("*",))
    app = application(shelf, metrics, limits, keys, allowed)
    # What is there now stays: a full collection that looked through it would hold up every answer.
    gc.collect()
    gc.freeze()
    uvicorn.run(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        http="h11",  # whose headers are bounded
        ws="none",
        lifespan="on",  # a start that fails ends it; left to itself it would serve on, half begun
        h11_max_incomplete_event_size=HEADERS,
        timeout_graceful_shutdown=round(limits.grace),
    )


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


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
