"""Commands that ask a recommender."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mgrec.cli.options import (
    History,
    Json,
    Run,
    Seen,
    User,
    Where,
    ids,
    limits,
    printed,
    say_unknown,
)
from mgrec.errors import RequestError


def recommend(
    run: Run,
    history: History = None,
    user: User = None,
    all_users: Annotated[
        bool,
        typer.Option("--all-users", help="Rank for all users and write the Parquet file --out."),
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Parquet file for --all-users.")] = None,
    k: Annotated[int, typer.Option("-k", help="Number of items.")] = 10,
    only: Annotated[str | None, typer.Option(help="Item ids to choose from.")] = None,
    exclude: Annotated[str, typer.Option(help="Item ids to leave out.")] = "",
    exclude_seen: Seen = False,
    where: Where = None,
    max_per: Annotated[
        list[str],
        typer.Option(help="Maximum items per value of an attribute: category=2. Repeatable."),
    ] = [],  # noqa: B006
    as_json: Json = False,
) -> None:
    """Recommend items for a history, for a user, or for all users."""
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
        printed(
            {"users": users, "file": str(out)} if as_json else f"{users:,} users: {out}", as_json
        )
        return
    if out is not None:
        raise RequestError("recommend: --out is for --all-users, expected both or neither")
    for option, named in (("--only", only), ("--exclude", exclude)):
        say_unknown(recommender, option, ids(named or ""))
    found = recommender.recommend(
        history=None if history is None else ids(history),
        user=user,
        k=k,
        only=None if only is None else ids(only),
        exclude=ids(exclude),
        exclude_seen=exclude_seen,
        where=where,
        max_per=limits(max_per),
    )
    printed(found.to_dict() if as_json else listing(recommender, found), as_json)


def explain(
    run: Run,
    item: Annotated[str, typer.Argument(help="Id of the item whose score is explained.")],
    history: History = None,
    user: User = None,
    picture: Annotated[
        Path | None, typer.Option(help="Also write a chart to this SVG file.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Explain an item's score by past items, their modalities, its codes and experts."""
    from mgrec.files import check_file
    from mgrec.folders import new_file
    from mgrec.recommender import Recommender
    from mgrec.study.listing import account

    if picture is not None:
        check_file(picture)
    given = None if history is None else ids(history)
    why = Recommender.load(run).explain(item, given, user=user)
    if picture is not None:
        with new_file(picture) as draft:
            draft.write_text(why.picture(), encoding="utf-8")
    printed(why.to_dict() if as_json else account(why), as_json)


def similar(
    run: Run,
    item: Annotated[str, typer.Argument(help="Id of the item to compare with.")],
    by: Annotated[
        str | None, typer.Option(help="Modality: text or image. Default: all that the item has.")
    ] = None,
    k: Annotated[int, typer.Option("-k", help="Number of items.")] = 10,
    where: Where = None,
    as_json: Json = False,
) -> None:
    """List the items most similar to an item."""
    from mgrec.recommender import Recommender
    from mgrec.study.listing import listing

    recommender = Recommender.load(run)
    found = recommender.similar(item, k, by=by, where=where)
    printed(found.to_dict() if as_json else listing(recommender, found), as_json)


def inspect(
    run: Run,
    prefix: Annotated[
        str | None,
        typer.Option(help='First codes of an ID, such as "12 7": list the items below it.'),
    ] = None,
    item: Annotated[str | None, typer.Option(help="Id of an item: show its semantic ID.")] = None,
    export: Annotated[
        Path | None, typer.Option(help="Write all semantic IDs to this Parquet file.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show the codebooks: usage, perplexity, collisions, and the items below a prefix."""
    from mgrec.recommender import Recommender
    from mgrec.study.inspection import inspection

    found = inspection(Recommender.load(run), prefix=prefix, item=item, export=export)
    printed(found.to_dict() if as_json else found.to_text(), as_json)
