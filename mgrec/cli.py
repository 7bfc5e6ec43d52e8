"""The command line: parses, calls the library, prints."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from mgrec.errors import MgrecError, MissingExtra, RequestError
from mgrec.progress import say

app = typer.Typer(
    help="Multimodal generative recommendation: from items, pictures and clicks to answers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Data = Annotated[
    Path, typer.Argument(help="Folder with interactions.{parquet,csv,jsonl} or sequences.txt.")
]
Run = Annotated[Path, typer.Argument(help="Folder that 'mgrec fit' saved.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]
Setting = Annotated[
    list[str],
    typer.Option("-s", "--set", help="Override a recipe field: -s model.dim=64. Repeatable."),
]
Column = Annotated[
    list[str],
    typer.Option("--column", help="Name of a column in your files: --column user_id=uid."),
]
TextColumn = Annotated[
    list[str],
    typer.Option("--text-column", help="A column that makes up an item's text. Repeatable."),
]
Published = Annotated[
    str | None, typer.Option(help="Show published figures beside: beauty or toys.")
]
Seen = Annotated[
    bool, typer.Option("--exclude-seen", help="Leave out items that the history already has.")
]
Where = Annotated[
    str | None,
    typer.Option(help="Only items whose attributes hold: 'price < 20 and \"toys\" in category'."),
]
History = Annotated[
    str | None, typer.Option(help="Item ids, oldest first, separated by blanks or commas.")
]
User = Annotated[str | None, typer.Option(help="A user of the log.")]
convert = typer.Typer(
    help="Turn published files into a data folder.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(convert, name="convert")


@app.command()
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
    _print(table.to_dict() if as_json else table.to_text(), as_json)


@app.command()
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
    from mgrec.study.forecast import forecast

    chosen = Recipe.named(recipe).override(setting)
    dataset = _read(data, column, text_column)
    found = look(dataset, chosen.split, forecast=forecast(dataset, chosen))
    _print(found.to_dict() if as_json else found.to_text(), as_json)


@convert.command()
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
    _print(made.to_dict() if as_json else made.to_text(), as_json)


@app.command()
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
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0 takes all.")] = 0,
    as_json: Json = False,
) -> None:
    """Train a recommender, measure it, save it, and write its report page."""
    from mgrec.recipe import Recipe
    from mgrec.recommender import Recommender
    from mgrec.study.published import check_dataset
    from mgrec.study.summary import report_run

    _threads(threads)
    check_dataset(published)
    before = Recommender.load(start) if start else None
    if before and recipe:
        raise RequestError("fit: --from keeps the artifact's recipe, expected no --recipe")
    chosen = (before.recipe if before else Recipe.named(recipe or "late++")).override(setting)
    made = Recommender.fit(
        _read(data, column, text_column), chosen, out=out, final=final, start=before
    )
    table = report_run(made, out / "report.html", published)
    _print(table.to_dict() if as_json else table.to_text(), as_json)


@app.command()
def evaluate(
    run: Run,
    against: Annotated[
        Path | None, typer.Option(help="Another artifact, for a paired test on the same users.")
    ] = None,
    baselines: Annotated[
        bool, typer.Option("--baselines", help="Also train and measure popularity, kNN, SASRec.")
    ] = False,
    exclude_seen: Seen = False,
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0 takes all.")] = 0,
    as_json: Json = False,
) -> None:
    """Measure a saved recommender on its test cases, with 95% intervals over users."""
    from mgrec.recommender import Recommender
    from mgrec.study.results import evaluation_table

    _threads(threads)
    other = Recommender.load(against) if against else None
    table = evaluation_table(
        Recommender.load(run), other, baselines_too=baselines, exclude_seen=exclude_seen
    )
    _print(table.to_dict() if as_json else table.to_text(), as_json)


@app.command()
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
        str, typer.Option(help="Out of popularity, item-knn, sasrec; empty for none.")
    ] = "popularity,item-knn,sasrec",
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
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0 takes all.")] = 0,
    as_json: Json = False,
) -> None:
    """Put strategies and baselines side by side, on one split and budget, with tests."""
    from mgrec.study.compare import STRATEGIES
    from mgrec.study.compare import compare as put
    from mgrec.study.publishing import document, table

    _threads(threads)
    found = put(
        _read(data, column, text_column),
        out,
        (() if study else STRATEGIES) if recipes is None else _words(recipes),
        seeds=seeds,
        settings=[*setting, *([] if minutes is None else [f"training.minutes={minutes}"])],
        sweeps=sweep,
        studies=study,
        baselines=_words(baselines),
        against=against,
        exclude_seen=exclude_seen,
        dataset=published,
    )
    _print(document(found) if as_json else table(found, out).to_text(), as_json)


@app.command()
def cold(
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder for artifact and report. Run again to resume.")],
    recipe: Annotated[str, typer.Option(help="A recipe's name, or a YAML file.")] = "late++",
    share: Annotated[float, typer.Option(help="Part of the items that come later.")] = 0.05,
    seed: Annotated[int, typer.Option(min=0, help="Another seed draws other items.")] = 0,
    setting: Setting = [],  # noqa: B006
    column: Column = [],  # noqa: B006
    text_column: TextColumn = [],  # noqa: B006
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0 takes all.")] = 0,
    as_json: Json = False,
) -> None:
    """Train without some items, add them, and measure: who finds them, and what others lose."""
    from mgrec.recipe import Recipe
    from mgrec.study.cold import cold_start
    from mgrec.study.cold_page import document, publish, table

    _threads(threads)
    chosen = Recipe.named(recipe).override(setting)
    found = cold_start(_read(data, column, text_column), chosen, out, share=share, seed=seed)
    publish(found, out)
    _print(document(found) if as_json else table(found).to_text(), as_json)


@app.command()
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
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0 takes all.")] = 0,
    as_json: Json = False,
) -> None:
    """Ask the paper's questions of compared models: what codes follow, whether blocks fit."""
    from mgrec.study.diagnosis_page import page
    from mgrec.study.diagnostics import diagnose
    from mgrec.study.markdown import markdown
    from mgrec.study.publishing import publish_study, study_document

    _threads(threads)
    found = diagnose(folder, users=users, seed=seed, item=item, attribute=attribute)
    where = publish_study(found, folder)
    summary = page(found)
    text = f"{markdown(summary)}\nReport: {where}"
    _print(study_document(found, summary) if as_json else text, as_json)


@app.command()
def recommend(
    run: Run,
    history: History = None,
    user: User = None,
    all_users: Annotated[
        bool, typer.Option("--all-users", help="Everybody, to the Parquet file --out.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Parquet file for --all-users.")] = None,
    k: Annotated[int, typer.Option("-k", help="How many items.")] = 10,
    only: Annotated[str | None, typer.Option(help="Only these item ids are allowed.")] = None,
    exclude: Annotated[str, typer.Option(help="These item ids are not allowed.")] = "",
    exclude_seen: Seen = False,
    where: Where = None,
    max_per: Annotated[
        list[str],
        typer.Option(help="At most so many of one value: category=2. Repeatable."),
    ] = [],  # noqa: B006
    as_json: Json = False,
) -> None:
    """Recommend items for a history, a user, or everybody."""
    from mgrec.recommender import Recommender
    from mgrec.study.listing import listing

    recommender = Recommender.load(run)
    if all_users:
        if out is None or any((history, user, only, exclude, where, max_per)):
            raise RequestError(
                "recommend: --all-users takes --out FILE.parquet,"
                " and no --history, --user, --only, --exclude, --where or --max-per"
            )
        users = recommender.recommend_all(out, k, exclude_seen=exclude_seen)
        _print(
            {"users": users, "file": str(out)} if as_json else f"{users:,} users: {out}", as_json
        )
        return
    found = recommender.recommend(
        history=None if history is None else _ids(history),
        user=user,
        k=k,
        only=None if only is None else _ids(only),
        exclude=_ids(exclude),
        exclude_seen=exclude_seen,
        where=where,
        max_per=_limits(max_per),
    )
    _print(found.to_dict() if as_json else listing(recommender, found), as_json)


@app.command()
def explain(
    run: Run,
    item: Annotated[str, typer.Argument(help="The item whose score is explained.")],
    history: History = None,
    user: User = None,
    picture: Annotated[Path | None, typer.Option(help="Also draw it into this SVG file.")] = None,
    as_json: Json = False,
) -> None:
    """Say what moved an item's score: past items, their modalities, its codes, experts."""
    from mgrec.folders import new_file
    from mgrec.recommender import Recommender
    from mgrec.study.listing import account

    given = None if history is None else _ids(history)
    why = Recommender.load(run).explain(item, given, user=user)
    if picture is not None:
        with new_file(picture) as draft:
            draft.write_text(why.picture(), encoding="utf-8")
    _print(why.to_dict() if as_json else account(why), as_json)


@app.command()
def similar(
    run: Run,
    item: Annotated[str, typer.Argument(help="The item that others are compared with.")],
    by: Annotated[
        str | None, typer.Option(help="text or image; all that the item has if not named.")
    ] = None,
    k: Annotated[int, typer.Option("-k", help="How many items.")] = 10,
    where: Where = None,
    as_json: Json = False,
) -> None:
    """Show the items that are most like one."""
    from mgrec.recommender import Recommender
    from mgrec.study.listing import listing

    recommender = Recommender.load(run)
    found = recommender.similar(item, k, by=by, where=where)
    _print(found.to_dict() if as_json else listing(recommender, found), as_json)


@app.command()
def inspect(
    run: Run,
    prefix: Annotated[
        str | None, typer.Option(help='Codes from the first slot on, such as "12 7".')
    ] = None,
    item: Annotated[str | None, typer.Option(help="Show one item's semantic ID.")] = None,
    export: Annotated[
        Path | None, typer.Option(help="Write all semantic IDs to this Parquet file.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show the codebooks: usage, perplexity, collisions, and the items under a prefix."""
    from mgrec.recommender import Recommender
    from mgrec.study.inspection import inspection

    found = inspection(Recommender.load(run), prefix=prefix, item=item, export=export)
    _print(found.to_dict() if as_json else found.to_text(), as_json)


@app.command()
def add_items(
    run: Run,
    items: Annotated[Path, typer.Argument(help="Items as in a data folder: jsonl, csv, parquet.")],
    embeddings: Annotated[
        Path | None, typer.Option(help="Folder of ready-made text.npz, image.npz and so on.")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Where picture paths begin; the items' own folder.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Add items to a saved recommender, at once and without training."""
    from mgrec.newcomers import ready_in
    from mgrec.serving.live import Live

    live = Live.open(run)
    ready = ready_in(embeddings, live.recommender.catalogue) if embeddings else None
    _changed(live.add_items(items, embeddings=ready, folder=folder), as_json)


@app.command()
def remove_items(
    run: Run,
    ids: Annotated[list[str] | None, typer.Argument(help="Item ids.")] = None,
    file: Annotated[Path | None, typer.Option(help="File of item ids, one a line.")] = None,
    as_json: Json = False,
) -> None:
    """Take items off: they are not recommended any more, and histories may still hold them."""
    from mgrec.serving.live import Live

    if bool(ids) == (file is not None):
        raise RequestError("remove-items: expected either item ids or --file, and not both")
    lines = file.read_text(encoding="utf-8").splitlines() if file else ids or []
    wanted = [line.strip() for line in lines if line.strip()]
    _changed(Live.open(run).remove_items(wanted), as_json)


@app.command()
def rollback(run: Run, as_json: Json = False) -> None:
    """Return to the catalogue before the last change."""
    from mgrec.serving.live import Live

    _changed(Live.open(run).rollback(), as_json)


@app.command()
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
    api_key_file: Annotated[
        Path | None, typer.Option(help="Lines 'read KEY' or 'write KEY'; without it all may.")
    ] = None,
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
        keys=Keys.of_file(api_key_file) if api_key_file else None,
        limits=Limits(seconds=seconds, upload=upload << 20, watch=watch),
        hosts=allowed_host,
        threads=threads,
        log_level=log_level,
    )


def main() -> None:
    """Run the command line; whatever mgrec refuses is one line and exit status 2."""
    try:
        app()
    except MgrecError as error:
        say(f"error: {error}")
        sys.exit(2)
    except OSError as error:
        say(f"error: {error.filename or 'file'}: {error.strerror or error}")
        sys.exit(2)
    except SystemExit as stop:
        if stop.code == 130:  # typer's word for Ctrl-C
            say("interrupted; fit and convert go on where they were when they are called again")
        raise


def _read(path: Path, columns: list[str], text_columns: list[str]) -> Any:
    from mgrec.data.dataset import Dataset

    names = {}
    for column in columns:
        ours, equals, theirs = column.partition("=")
        if not equals:
            raise RequestError(f"--column {column}: expected OURS=THEIRS, such as user_id=uid")
        names[ours] = theirs
    dataset = Dataset.read(path, columns=names or None, text_columns=text_columns or None)
    for warning in dataset.notes.warnings:
        say(f"warning: {warning}")
    return dataset


def _changed(change: Any, as_json: bool) -> None:
    for problem in change.problems:
        say(f"warning: {problem}")
    _print(asdict(change) if as_json else str(change), as_json)


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _ids(text: str) -> list[int | str]:
    return list(text.replace(",", " ").split())


def _limits(settings: list[str]) -> dict[str, int]:
    limits = {}
    for setting in settings:
        name, equals, most = setting.rpartition("=")
        if not equals or not most.strip().isdecimal() or len(most) > 9:
            raise RequestError(
                f"--max-per {setting}: expected ATTRIBUTE=NUMBER, such as category=2"
            )
        limits[name.strip()] = int(most)
    return limits


def _threads(threads: int) -> None:
    if threads:
        import torch

        torch.set_num_threads(threads)


def _print(value: Any, as_json: bool) -> None:
    sys.stdout.write((json.dumps(value, indent=1) if as_json else str(value)).rstrip() + "\n")
