"""The command line: parses, calls the library, prints."""

from __future__ import annotations

import sys
from typing import Any

import typer
from typer.core import TyperCommand

from mgrec.cli.asking import explain, inspect, recommend, similar
from mgrec.cli.keeping import add_items, remove_items, rollback, serve
from mgrec.cli.making import amazon2014, check, demo, fit
from mgrec.cli.measuring import cold, compare, evaluate, study
from mgrec.errors import MgrecError
from mgrec.interrupts import keep_interrupts
from mgrec.progress import say

# In the order of the help.
COMMANDS = (
    *(demo, check, fit),
    *(evaluate, compare, study, cold),
    *(recommend, explain, similar, inspect),
    *(add_items, remove_items, rollback, serve),
)

ASK_BY_ID = (explain, similar, remove_items)  # their arguments are ids

HELP = {"help_option_names": ["-h", "--help"]}


class _Command(TyperCommand):
    """A command that says how to write an id that begins with a dash."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except Exception as error:  # of click's or of typer's own copy of it
            if type(error).__name__ == "NoSuchOption" and not getattr(error, "possibilities", None):
                name = getattr(error, "option_name", "")
                error.message += f" (an id that begins with - stands behind --: -- {name})"  # type: ignore[attr-defined]
            raise


def application() -> typer.Typer:
    """Return the commands as one application."""
    app = typer.Typer(
        help="Multimodal generative recommendation: from items, pictures and clicks to answers.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings=HELP,
    )
    convert = typer.Typer(
        help="Turn published files into a data folder.", no_args_is_help=True, context_settings=HELP
    )
    convert.command()(amazon2014)
    for command in COMMANDS:
        app.command(cls=_Command if command in ASK_BY_ID else None)(command)
    app.add_typer(convert, name="convert")
    return app


def main() -> None:
    """Run the command line; whatever mgrec refuses is one line and exit status 2."""
    keep_interrupts()
    try:
        application()()
    except MgrecError as error:
        say(f"error: {error}")
        sys.exit(2)
    except OSError as error:
        say(f"error: {error.filename or 'file'}: {error.strerror or error}")
        sys.exit(2)
    except SystemExit as stop:
        if stop.code == 130:  # typer's word for Ctrl-C
            say("interrupted; fit, compare, cold and convert go on when they are called again")
        raise
