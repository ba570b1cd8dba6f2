"""The `chiasm` command: one file a verb.

A verb's file imports what it needs inside its function, so that help and a mistyped option answer at once.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from chiasm.cli.build import build
from chiasm.cli.demo import demo
from chiasm.cli.evaluate import evaluate
from chiasm.cli.guard import EXIT_CODES, guarded
from chiasm.cli.index import index
from chiasm.cli.search import search
from chiasm.cli.train import train

# Plain help and plain errors: importing rich alone would cost more than all the rest of `chiasm --help`.
app = typer.Typer(
    name="chiasm",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    add_completion=False,
    epilog=EXIT_CODES,
)
app.command(epilog=EXIT_CODES)(guarded(demo))
app.command(epilog=EXIT_CODES)(guarded(build))
app.command(epilog=EXIT_CODES)(guarded(train))
app.command(epilog=EXIT_CODES)(guarded(evaluate))
app.command(epilog=EXIT_CODES)(guarded(index))
app.command(epilog=EXIT_CODES)(guarded(search))


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"chiasm {version('chiasm')}")
        raise typer.Exit


@app.callback()
def chiasm(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Learn one space for text, images and audio from your own paired data: build, train, evaluate, search.

    Begin with `chiasm demo`. Every verb has its own --help.
    """


def main() -> None:
    """The console script."""
    try:
        app(prog_name="chiasm")
    except KeyboardInterrupt:  # before a verb has begun
        sys.exit(130)
