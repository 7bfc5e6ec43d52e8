"""The command line: parses, calls the library, prints."""

from __future__ import annotations

import os
import sys
from typing import Any

INTERRUPTED = "interrupted; run the same command again to resume (fit, compare, cold, convert)"

# Before torch is imported: its waiting threads otherwise spin, on a busy machine at half the speed.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

try:
    import io

    import typer
    from typer.core import TyperCommand

    from mgrec.cli.asking import explain, inspect, recommend, similar
    from mgrec.cli.keeping import add_items, remove_items, rollback, serve
    from mgrec.cli.making import amazon2014, check, demo, fit
    from mgrec.cli.measuring import cold, compare, evaluate, study
    from mgrec.errors import MgrecError
    from mgrec.interrupts import interrupted, keep_interrupts
    from mgrec.progress import say, showing
except KeyboardInterrupt:  # importing is most of what a short command does
    sys.stderr.write(f"{INTERRUPTED}\n")
    raise SystemExit(130) from None

# In the order of the help.
COMMANDS = (
    *(demo, check, fit),
    *(evaluate, compare, study, cold),
    *(recommend, explain, similar, inspect),
    *(add_items, remove_items, rollback, serve),
)

UsageError: Any = (
    typer.BadParameter.__base__
)  # click's class, which newer versions of typer include
ASK_BY_ID = (explain, similar, remove_items)  # their arguments are ids
HELP = {"help_option_names": ["-h", "--help"]}


class _Command(TyperCommand):
    """A command whose error explains how to pass an id that begins with a dash."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except Exception as error:  # click's, or that of typer's copy of click
            if type(error).__name__ == "NoSuchOption" and not getattr(error, "possibilities", None):
                name = getattr(error, "option_name", "")
                error.message += f" (an id that begins with - goes after --: -- {name})"  # type: ignore[attr-defined]
            raise


def application() -> typer.Typer:
    """Return the commands as one application."""
    app = typer.Typer(
        help="Multimodal generative recommendation: train, evaluate and serve a recommender.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings=HELP,
    )
    convert = typer.Typer(
        help="Convert published data sets to a data folder.",
        no_args_is_help=True,
        context_settings=HELP,
    )
    convert.command()(amazon2014)
    for command in COMMANDS:
        app.command(cls=_Command if command in ASK_BY_ID else None)(command)
    app.add_typer(convert, name="convert")
    return app


def main() -> None:
    """Run the command line; whatever mgrec refuses is one line and exit status 2."""
    keep_interrupts()
    for stream in (sys.stdout, sys.stderr):  # the terminal's encoding may lack characters
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    with showing():
        _run()


def _run() -> None:
    try:
        status = application()(prog_name="mgrec", standalone_mode=False)
    except UsageError as error:
        if type(error).__name__ != "NoArgsIsHelpError":  # after which the help was printed
            say(f"error: {_usage(error)}")
        sys.exit(2)
    except MgrecError as error:
        say(f"error: {error}")
        sys.exit(2)
    except OSError as error:
        say(f"error: {error.filename or 'file'}: {error.strerror or error}")
        sys.exit(2)
    except BaseException:
        if not interrupted():
            raise
        # A library that was being imported may turn Ctrl-C into another exception.
        say(INTERRUPTED)
        sys.exit(130)
    if status == 130:  # typer's status for Ctrl-C
        say(INTERRUPTED)
    sys.exit(status)


def _usage(error: Any) -> str:
    """Return a usage error in one line, with the command that prints the help."""
    command = error.ctx.command_path if error.ctx else "mgrec"
    message = " ".join(error.format_message().split())
    stop = "" if message.endswith((".", "?")) else "."
    return f"{message}{stop} Run '{command} --help'"
