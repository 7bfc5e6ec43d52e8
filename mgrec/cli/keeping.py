"""Commands that keep a recommender in use: its catalogue and its server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mgrec.cli.options import Encoders, Json, Run, changed, printed
from mgrec.errors import MissingExtra, RequestError


def add_items(
    run: Run,
    items: Annotated[
        Path, typer.Argument(help="File of items as in a data folder: jsonl, csv or parquet.")
    ],
    embeddings: Annotated[
        Path | None, typer.Option(help="Folder with ready-made embeddings: text.npz, image.npz.")
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            help="Folder that image paths are relative to. Default: the folder of the items."
        ),
    ] = None,
    encoder: Encoders = [],  # noqa: B006
    as_json: Json = False,
) -> None:
    """Add items to a saved recommender, without training."""
    from mgrec.newcomers import ready_in
    from mgrec.serving.live import Live

    live = Live.open(run, encoder)
    ready = ready_in(embeddings, live.recommender.catalogue) if embeddings else None
    changed(live.add_items(items, embeddings=ready, folder=folder), as_json)


def remove_items(
    run: Run,
    ids: Annotated[list[str] | None, typer.Argument(help="Item ids.")] = None,
    file: Annotated[Path | None, typer.Option(help="File of item ids, one per line.")] = None,
    as_json: Json = False,
) -> None:
    """Stop recommending items. Histories may still contain them."""
    from mgrec.data.files import contents
    from mgrec.serving.live import Live

    if bool(ids) == (file is not None):
        raise RequestError("remove-items: expected either item ids or --file, and not both")
    lines = ids or []
    if file is not None:
        data = contents(file, str(file))
        try:
            lines = data.decode().splitlines()
        except UnicodeDecodeError as error:
            found = f"found byte {data[error.start]:#04x}"
            raise RequestError(f"{file}: {found}, expected item ids in UTF-8, one a line") from None
    wanted = [line.strip() for line in lines if line.strip()]
    changed(Live.open(run).remove_items(wanted), as_json)


def rollback(run: Run, as_json: Json = False) -> None:
    """Undo the last change of the catalogue; without changes, restore the previous artifact."""
    from mgrec import artifact
    from mgrec.journal import read_journal
    from mgrec.serving.live import Live

    if artifact.is_artifact(run):
        artifact.settled(run)  # completes an exchange that was killed
    if read_journal(run).entries or not artifact.has_previous(run):
        changed(Live.open(run).rollback(), as_json)
        return
    artifact.restore(run)
    live = Live.open(run)
    listed = live.recommender.n_listed
    found = {"version": live.version, "artifact": "previous", "listed": listed}
    words = f"version {live.version}: the previous artifact, {listed:,} items may be recommended"
    printed(found if as_json else words, as_json)


def serve(
    run: Run,
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8000,
    more: Annotated[
        list[Path], typer.Option(help="Another run, served beside the first. Repeatable.")
    ] = [],  # noqa: B006
    pictures: Annotated[
        list[Path],
        typer.Option(help="The data folder whose pictures the page shows; one for all, or each."),
    ] = [],  # noqa: B006
    encoder: Encoders = [],  # noqa: B006
    api_key_file: Annotated[
        Path | None, typer.Option(help="Lines 'read KEY' or 'write KEY'; without it all may.")
    ] = None,
    no_keys: Annotated[
        bool,
        typer.Option(
            "--no-keys",
            help="Listen beyond loopback without keys: any client can read and change everything.",
        ),
    ] = False,
    allowed_host: Annotated[
        list[str], typer.Option(help="A name under which it may be asked. Repeatable.")
    ] = [],  # noqa: B006
    seconds: Annotated[float, typer.Option(min=0.05, help="That an answer may take.")] = 5.0,
    upload: Annotated[
        int, typer.Option(min=1, help="MiB of a request that adds items, at most.")
    ] = 64,
    watch: Annotated[
        float, typer.Option(min=0, help="Seconds between looks for a new version; 0 never looks.")
    ] = 2.0,
    accept: Annotated[
        bool,
        typer.Option(
            "--accept", help="Accept every new artifact in the folder, even one with worse metrics."
        ),
    ] = False,
    connections: Annotated[
        int,
        typer.Option(min=1, help="Maximum open connections; lower if the limit of open files is."),
    ] = 768,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of the model.")] = 1,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
) -> None:
    """Serve runs over HTTP, with a page: recommend, explain, add and remove items."""
    try:
        from mgrec.serving.keys import Keys
        from mgrec.serving.limits import Limits
        from mgrec.serving.server import serve as run_server
    except ImportError as error:
        raise MissingExtra(
            f"serve: '{error.name}' is not installed: pip install 'mgrec[serve]'"
        ) from None

    run_server(
        [run, *more],
        host=host,
        port=port,
        pictures=pictures,
        encoders=encoder,
        keys=Keys.of_file(api_key_file) if api_key_file else None,
        limits=Limits(seconds=seconds, upload=upload << 20, watch=watch, connections=connections),
        hosts=allowed_host,
        no_keys=no_keys,
        accept=accept,
        threads=threads,
        log_level=log_level,
    )
