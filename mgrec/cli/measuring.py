"""Commands that measure recommenders, and compare them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mgrec.cli.options import (
    Column,
    Data,
    Json,
    Published,
    Run,
    Seen,
    Setting,
    TextColumn,
    Threads,
    printed,
    read,
    set_threads,
    words,
)


def evaluate(
    run: Run,
    against: Annotated[
        Path | None, typer.Option(help="Another artifact, for a paired test on the same users.")
    ] = None,
    baselines: Annotated[
        bool,
        typer.Option("--baselines", help="Also popularity, kNN, a linear model and SASRec."),
    ] = False,
    contributions: Annotated[
        bool,
        typer.Option("--contributions", help="Also without each part of a score, and alone."),
    ] = False,
    exclude_seen: Seen = False,
    both_ways: Annotated[
        bool,
        typer.Option("--both-ways", help="Nothing filtered, and seen items out beside it."),
    ] = False,
    threads: Threads = 0,
    as_json: Json = False,
) -> None:
    """Measure a saved recommender on its test cases, with 95% intervals over users."""
    from mgrec.errors import RequestError
    from mgrec.recommender import Recommender
    from mgrec.study.results import evaluation_table

    if exclude_seen and both_ways:
        raise RequestError("evaluate: found --exclude-seen and --both-ways, expected one of them")
    set_threads(threads)
    other = Recommender.load(against) if against else None
    table = evaluation_table(
        Recommender.load(run),
        other,
        baselines_too=baselines,
        contributions_too=contributions,
        protocols=(False, True) if both_ways else (exclude_seen,),
    )
    printed(table.to_dict() if as_json else table.to_text(), as_json)


def compare(
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder for runs and report. Run again to resume.")],
    recipes: Annotated[
        str | None,
        typer.Option(
            help="Names or YAML files, by commas; late*1 has one seed. Without a study:"
            " text,image,early,late,late++."
        ),
    ] = None,
    study: Annotated[
        list[str],
        typer.Option(
            help="Rows of the paper's tables: claims (that is strategies, ablation, target,"
            ' control), sensitivity, extensions; of another recipe: "late++: claims". Repeatable.'
        ),
    ] = [],  # noqa: B006
    seeds: Annotated[int, typer.Option(min=1, help="Of every recipe without a star.")] = 3,
    sweep: Annotated[
        list[str],
        typer.Option(
            help="A row a value, one seed each: quantiser.levels=2,3,4, or after a recipe:"
            ' "late: model.dim=64,128". Repeatable.'
        ),
    ] = [],  # noqa: B006
    baselines: Annotated[
        str, typer.Option(help="Out of popularity, item-knn, linear, sasrec; empty for none.")
    ] = "popularity,item-knn,linear,sasrec",
    against: Annotated[
        str | None, typer.Option(help="The row that all others are tested against: late++.")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(help="Of training for every run: -s training.minutes=..")
    ] = None,
    setting: Setting = [],  # noqa: B006
    exclude_seen: Annotated[
        bool, typer.Option("--exclude-seen", help="A second table with seen items left out.")
    ] = False,
    published: Published = None,
    column: Column = [],  # noqa: B006
    text_column: TextColumn = [],  # noqa: B006
    threads: Threads = 0,
    as_json: Json = False,
) -> None:
    """Put strategies and baselines side by side, on one split and budget, with tests."""
    from mgrec.study.compare import STRATEGIES
    from mgrec.study.compare import compare as put
    from mgrec.study.publishing import document, table

    set_threads(threads)
    found = put(
        read(data, column, text_column),
        out,
        (() if study else STRATEGIES) if recipes is None else words(recipes),
        seeds=seeds,
        settings=[*setting, *([] if minutes is None else [f"training.minutes={minutes}"])],
        sweeps=sweep,
        studies=study,
        baselines=words(baselines),
        against=against,
        exclude_seen=exclude_seen,
        dataset=published,
    )
    printed(document(found) if as_json else table(found, out).to_text(), as_json)


def cold(
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder for artifact and report. Run again to resume.")],
    recipe: Annotated[str, typer.Option(help="A recipe's name, or a YAML file.")] = "late++",
    share: Annotated[float, typer.Option(help="Part of the items that come later.")] = 0.05,
    seed: Annotated[int, typer.Option(min=0, help="Another seed draws other items.")] = 0,
    setting: Setting = [],  # noqa: B006
    column: Column = [],  # noqa: B006
    text_column: TextColumn = [],  # noqa: B006
    threads: Threads = 0,
    as_json: Json = False,
) -> None:
    """Train without some items, add them, and measure: who finds them, and what others lose."""
    from mgrec.recipe import Recipe
    from mgrec.study.cold import cold_start
    from mgrec.study.cold_page import document, publish, table

    set_threads(threads)
    chosen = Recipe.named(recipe).override(setting)
    found = cold_start(read(data, column, text_column), chosen, out, share=share, seed=seed)
    publish(found, out)
    printed(document(found) if as_json else table(found).to_text(), as_json)


def study(
    folder: Annotated[Path, typer.Argument(help="Folder that 'mgrec compare' wrote.")],
    users: Annotated[
        int, typer.Option(min=1, help="Test cases that are searched without the catalogue.")
    ] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Of the draw of users and items.")] = 0,
    item: Annotated[
        str | None, typer.Option(help="Item whose company is shown; the most taken one else.")
    ] = None,
    attribute: Annotated[
        str | None,
        typer.Option(help="Column that maps are coloured by; the most telling one else."),
    ] = None,
    threads: Threads = 0,
    as_json: Json = False,
) -> None:
    """Ask the paper's questions of compared models: what codes follow, whether blocks fit."""
    from mgrec.study.diagnosis_page import page
    from mgrec.study.diagnostics import diagnose
    from mgrec.study.markdown import markdown
    from mgrec.study.publishing import publish_study, study_document

    set_threads(threads)
    found = diagnose(folder, users=users, seed=seed, item=item, attribute=attribute)
    where = publish_study(found, folder)
    summary = page(found)
    text = f"{markdown(summary)}\nReport: {where}"
    printed(study_document(found, summary) if as_json else text, as_json)
