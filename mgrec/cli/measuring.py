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
        Path | None,
        typer.Option(help="Another artifact to compare with, by a paired test on the same users."),
    ] = None,
    baselines: Annotated[
        bool,
        typer.Option(
            "--baselines", help="Also evaluate popularity, item-kNN, a linear model and SASRec."
        ),
    ] = False,
    contributions: Annotated[
        bool,
        typer.Option(
            "--contributions",
            help="Also evaluate the model without each part of its score, and each part alone.",
        ),
    ] = False,
    exclude_seen: Seen = False,
    both_ways: Annotated[
        bool,
        typer.Option("--both-ways", help="Evaluate with and without seen items, side by side."),
    ] = False,
    threads: Threads = 0,
    as_json: Json = False,
) -> None:
    """Evaluate a saved recommender on its test cases, with 95% intervals over users."""
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
    out: Annotated[
        Path,
        typer.Option(
            help="Output folder for runs and report. Run the same command again to resume."
        ),
    ],
    recipes: Annotated[
        str | None,
        typer.Option(
            help="Recipes or YAML files, separated by commas; late*1 trains one seed. Default"
            " without --study: text,image,early,late,late++."
        ),
    ] = None,
    study: Annotated[
        list[str],
        typer.Option(
            help="Add the rows of one of the paper's tables: claims (strategies, ablation, target"
            ' and control), sensitivity, extensions. Of another recipe: "late: claims". Repeatable.'
        ),
    ] = [],  # noqa: B006
    seeds: Annotated[int, typer.Option(min=1, help="Seeds per recipe, unless *N is given.")] = 3,
    sweep: Annotated[
        list[str],
        typer.Option(
            help="Add one row per value, with one seed: quantiser.levels=2,3,4. For another recipe:"
            ' "late: model.dim=64,128". Repeatable.'
        ),
    ] = [],  # noqa: B006
    baselines: Annotated[
        str, typer.Option(help="Any of popularity, item-knn, linear, sasrec; empty for none.")
    ] = "popularity,item-knn,linear,sasrec",
    against: Annotated[
        str | None, typer.Option(help="Row that all others are tested against. Default: late++.")
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(help="Maximum minutes of training per run; same as -s training.minutes=N."),
    ] = None,
    setting: Setting = [],  # noqa: B006
    exclude_seen: Annotated[
        bool, typer.Option("--exclude-seen", help="Add a second table that leaves out seen items.")
    ] = False,
    published: Published = None,
    column: Column = [],  # noqa: B006
    text_column: TextColumn = [],  # noqa: B006
    threads: Threads = 0,
    as_json: Json = False,
) -> None:
    """Train recipes and baselines on one split and budget, and compare them with tests."""
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
    out: Annotated[
        Path,
        typer.Option(
            help="Output folder for artifact and report. Run the same command again to resume."
        ),
    ],
    recipe: Annotated[str, typer.Option(help="Name of a recipe, or a YAML file.")] = "late++",
    share: Annotated[
        float, typer.Option(help="Share of the items that are held out, up to 0.5.")
    ] = 0.05,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draw of held-out items.")] = 0,
    setting: Setting = [],  # noqa: B006
    column: Column = [],  # noqa: B006
    text_column: TextColumn = [],  # noqa: B006
    threads: Threads = 0,
    as_json: Json = False,
) -> None:
    """Train without some items, add them afterwards, and evaluate cold and warm items."""
    from mgrec.recipe import Recipe
    from mgrec.study.cold import cold_start
    from mgrec.study.cold_page import document, publish, table

    set_threads(threads)
    chosen = Recipe.named(recipe).override(setting)
    found = cold_start(read(data, column, text_column), chosen, out, share=share, seed=seed)
    publish(found, out)
    printed(document(found) if as_json else table(found).to_text(), as_json)


def study(
    folder: Annotated[Path, typer.Argument(help="Output folder of 'mgrec compare'.")],
    users: Annotated[
        int, typer.Option(min=1, help="Test cases to search without the catalogue constraint.")
    ] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draw of users and items.")] = 0,
    item: Annotated[
        str | None,
        typer.Option(
            help="Item whose neighbours by code are shown. Default: the most popular one."
        ),
    ] = None,
    attribute: Annotated[
        str | None,
        typer.Option(
            help="Column that colours the code maps. Default: the one that codes agree with most."
        ),
    ] = None,
    threads: Threads = 0,
    as_json: Json = False,
) -> None:
    """Analyse the models of a comparison: codes, overlap of predictions, alignment."""
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
