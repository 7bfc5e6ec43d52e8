"""Commands that make a recommender, and the data to make it from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mgrec.cli.options import (
    Column,
    Data,
    Json,
    Published,
    Setting,
    TextColumn,
    Threads,
    dataset_of,
    printed,
    read,
    set_threads,
)
from mgrec.errors import RequestError
from mgrec.progress import say


def demo(
    out: Annotated[Path, typer.Option(help="Output folder for data, artifact and report.")] = Path(
        "demo"
    ),
    seed: Annotated[int, typer.Option(min=0, help="Seed of the generated data.")] = 0,
    repurchase: Annotated[
        float, typer.Option(help="Probability that a user takes an item again, 0 to 1.")
    ] = 0.0,
    as_json: Json = False,
) -> None:
    """Generate a small data set, train a recommender on its texts and images, write a report."""
    from mgrec.study.demo import run_demo

    table = run_demo(out, seed=seed, repurchase=repurchase)
    printed(table.to_dict() if as_json else table.to_text(), as_json)


def check(
    data: Data,
    recipe: Annotated[
        str, typer.Option(help="Recipe whose time and memory are predicted.")
    ] = "late++",
    setting: Setting = [],  # noqa: B006
    column: Column = [],  # noqa: B006
    text_column: TextColumn = [],  # noqa: B006
    threads: Threads = 0,
    as_json: Json = False,
) -> None:
    """Check a data folder: what was read, possible problems, time and memory of a fit.

    It measures a few training steps, which takes some seconds.
    """
    from mgrec.recipe import Recipe
    from mgrec.study.check import check as look
    from mgrec.study.check import content_warnings
    from mgrec.study.check_page import text
    from mgrec.study.forecast import forecast

    set_threads(threads)
    chosen = Recipe.named(recipe).override(setting)
    dataset = dataset_of(data, column, text_column)
    found = look(
        dataset,
        chosen.split,
        forecast=forecast(dataset, chosen),
        content=content_warnings(dataset, chosen),
    )
    printed(found.to_dict() if as_json else text(found), as_json)


def amazon2014(
    reviews: Annotated[
        Path, typer.Option(help="File of reviews of one category, such as X.json.gz.")
    ],
    meta: Annotated[Path, typer.Option(help="File of its metadata, such as meta_X.json.gz.")],
    out: Annotated[Path, typer.Option(help="Output folder. Run the same command again to resume.")],
    images: Annotated[
        Path | None, typer.Option(help="Folder of the images. Default: OUT/images.")
    ] = None,
    core: Annotated[int, typer.Option(help="Minimum reviews per user and per item.")] = 5,
    no_download: Annotated[
        bool, typer.Option("--no-download", help="Use only the images that exist locally.")
    ] = False,
    drop_without_picture: Annotated[
        bool,
        typer.Option(
            "--drop-without-picture",
            help="Leave out items without an image, as the paper does, then apply --core again.",
        ),
    ] = False,
    workers: Annotated[int, typer.Option(help="Number of parallel downloads.")] = 8,
    rate: Annotated[float, typer.Option(help="Maximum requests per second.")] = 20.0,
    attempts: Annotated[int, typer.Option(help="Maximum attempts per link.")] = 4,
    megabytes: Annotated[float, typer.Option(help="Maximum size of an image in MB.")] = 10.0,
    as_json: Json = False,
) -> None:
    """Convert the original files of Amazon Reviews 2014 and download their images."""
    from mgrec.content.fetching import Limits
    from mgrec.conversion import convert_amazon

    limits = Limits(workers=workers, rate=rate, attempts=attempts, megabytes=megabytes)
    made = convert_amazon(
        reviews,
        meta,
        out,
        images=images,
        core=core,
        limits=None if no_download else limits,
        drop_without_picture=drop_without_picture,
    )
    for warning in made.warnings:
        say(f"warning: {warning}")
    printed(made.to_dict() if as_json else made.to_text(), as_json)


def fit(
    data: Data,
    out: Annotated[
        Path,
        typer.Option(help="Output folder for the artifact. Run the same command again to resume."),
    ],
    recipe: Annotated[
        str | None, typer.Option(help="Name of a recipe, or a YAML file. Default: late++.")
    ] = None,
    setting: Setting = [],  # noqa: B006
    final: Annotated[
        bool, typer.Option("--final", help="Then retrain on all data, for serving.")
    ] = False,
    start: Annotated[
        Path | None,
        typer.Option("--from", help="Continue training this artifact on new interactions."),
    ] = None,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Replace another fit's artifact; rollback brings it back."),
    ] = False,
    column: Column = [],  # noqa: B006
    text_column: TextColumn = [],  # noqa: B006
    published: Published = None,
    threads: Threads = 0,
    as_json: Json = False,
) -> None:
    """Train a recommender, evaluate it, save it, and write a report."""
    from mgrec.recipe import Recipe
    from mgrec.recommender import Recommender
    from mgrec.study.published import check_dataset
    from mgrec.study.summary import report_run

    set_threads(threads)
    check_dataset(published)
    before = Recommender.load(start) if start else None
    if before and recipe:
        raise RequestError("fit: --from keeps the artifact's recipe, expected no --recipe")
    chosen = (before.recipe if before else Recipe.named(recipe or "late++")).override(setting)
    made = Recommender.fit(
        read(data, column, text_column),
        chosen,
        out=out,
        final=final,
        start=before,
        replace=replace,
    )
    table = report_run(made, out / "report.html", published)
    printed(table.to_dict() if as_json else table.to_text(), as_json)
