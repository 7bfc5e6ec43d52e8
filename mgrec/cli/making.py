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
    printed,
    read,
    set_threads,
)
from mgrec.errors import RequestError
from mgrec.progress import say


def demo(
    out: Annotated[Path, typer.Option(help="Folder for data, artifact and page.")] = Path("demo"),
    seed: Annotated[int, typer.Option(min=0, help="Another seed is another world.")] = 0,
    repurchase: Annotated[
        float, typer.Option(help="How often users take again what they already have.")
    ] = 0.0,
    as_json: Json = False,
) -> None:
    """Make a small world with known rules, learn it from pixels and words, write a page."""
    from mgrec.study.demo import run_demo

    table = run_demo(out, seed=seed, repurchase=repurchase)
    printed(table.to_dict() if as_json else table.to_text(), as_json)


def check(
    data: Data,
    recipe: Annotated[str, typer.Option(help="Recipe to predict time and memory for.")] = "late++",
    setting: Setting = [],  # noqa: B006
    column: Column = [],  # noqa: B006
    text_column: TextColumn = [],  # noqa: B006
    as_json: Json = False,
) -> None:
    """Say what was understood of your data, and what a fit would take, before any training."""
    from mgrec.recipe import Recipe
    from mgrec.study.check import check as look
    from mgrec.study.check import content_warnings
    from mgrec.study.check_page import text
    from mgrec.study.forecast import forecast

    chosen = Recipe.named(recipe).override(setting)
    dataset = read(data, column, text_column)
    found = look(
        dataset,
        chosen.split,
        forecast=forecast(dataset, chosen),
        content=content_warnings(dataset, chosen),
    )
    printed(found.to_dict() if as_json else text(found), as_json)


def amazon2014(
    reviews: Annotated[Path, typer.Option(help="Reviews of one category, such as X.json.gz.")],
    meta: Annotated[Path, typer.Option(help="Its metadata, such as meta_X.json.gz.")],
    out: Annotated[Path, typer.Option(help="Folder for the data. Run again to resume.")],
    images: Annotated[
        Path | None, typer.Option(help="Where pictures lie or are to go; OUT/images if not named.")
    ] = None,
    core: Annotated[int, typer.Option(help="Fewest reviews of a user and of an item.")] = 5,
    no_download: Annotated[
        bool, typer.Option("--no-download", help="Take only the pictures that are there.")
    ] = False,
    drop_without_picture: Annotated[
        bool, typer.Option("--drop-without-picture", help="As the paper; the core is taken again.")
    ] = False,
    workers: Annotated[int, typer.Option(help="Downloads at the same time.")] = 8,
    rate: Annotated[float, typer.Option(help="Requests a second, all together.")] = 20.0,
    attempts: Annotated[int, typer.Option(help="How often a link is tried.")] = 4,
    megabytes: Annotated[float, typer.Option(help="Largest picture.")] = 10.0,
    as_json: Json = False,
) -> None:
    """Convert the original files of Amazon Reviews 2014, pictures downloaded by their links."""
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
    out: Annotated[Path, typer.Option(help="Folder for the artifact. Run again to resume.")],
    recipe: Annotated[
        str | None, typer.Option(help="A recipe's name, or a YAML file; late++ if none is named.")
    ] = None,
    setting: Setting = [],  # noqa: B006
    final: Annotated[
        bool, typer.Option("--final", help="Afterwards train on everything, for serving.")
    ] = False,
    start: Annotated[
        Path | None, typer.Option("--from", help="Continue from this artifact on new logs.")
    ] = None,
    column: Column = [],  # noqa: B006
    text_column: TextColumn = [],  # noqa: B006
    published: Published = None,
    threads: Threads = 0,
    as_json: Json = False,
) -> None:
    """Train a recommender, measure it, save it, and write its report page."""
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
        read(data, column, text_column), chosen, out=out, final=final, start=before
    )
    table = report_run(made, out / "report.html", published)
    printed(table.to_dict() if as_json else table.to_text(), as_json)
