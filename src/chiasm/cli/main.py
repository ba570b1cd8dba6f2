"""The `chiasm` command: one file a verb, imported when the verb is called.

Listing the verbs costs no import of theirs, and a verb imports what it needs inside its function: help and a
mistyped option answer at once.
"""

from __future__ import annotations

import difflib
import importlib
import io
import keyword
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from chiasm.cli.guard import EXIT_CODES, guarded

VERBS = {
    "demo": "The whole story on the embedded data set, in minutes.",
    "build": "Turn a source into a clean, split table.",
    "report": "Report on a table: counts, quality, bias, leaks and more.",
    "augment": "Show changed copies of a table's rows, as a build makes them.",
    "train": "Train a model and write its run folder.",
    "evaluate": "Measure a model on a table: retrieval and zero-shot.",
    "metrics": "Measure results in plain files: captions, answers, boxes …",
    "index": "Embed every record and index it, to be searched.",
    "search": "Ask a table with words, a picture, a sound or a clip.",
    "convert": "Convert pictures, sounds, clips and texts into each other.",
    "samples": "Write a few inputs to try `convert` with.",
    "explain": "Show why a model finds two things alike.",
    "rate": "Rating sheets for people: make them, and read what they say.",
    "systems": "The named systems of the literature: list, show, compare.",
    "import": "Turn public weights (Hugging Face format) into a run folder.",
    "export": "Write a run's weights to hand on: small, and without paths.",
}
"""Each verb is the function of its name (or the group of commands) in the module of its name, with an underscore after a word that Python
keeps for itself; this is its docstring's first line."""

# Plain help and plain errors: importing rich alone would cost more than all the rest of `chiasm --help`.
_PLAIN: dict[str, Any] = {
    "rich_markup_mode": None,
    "pretty_exceptions_enable": False,
    "add_completion": False,
}


class _Verbs(TyperGroup):
    """The verbs, each built when it is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name in VERBS:
            return _command(cmd_name)
        near = difflib.get_close_matches(cmd_name, VERBS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(VERBS)}"
        return None if cmd_name.startswith("-") else ctx.fail(f"no such command {cmd_name!r}; {hint}")

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))


def _command(name: str) -> Any:
    own = f"{name}_" if keyword.iskeyword(name) else name
    verb = getattr(importlib.import_module(f"chiasm.cli.{own}"), own)
    if isinstance(verb, typer.Typer):
        return typer.main.get_command(verb)
    single = typer.Typer(**_PLAIN)
    # What stands behind the run of `convert` is mostly a pattern that the shell spelled out: the verb says so.
    settings = {"allow_extra_args": True} if name == "convert" else None
    single.command(name, epilog=EXIT_CODES, context_settings=settings)(guarded(verb))
    return typer.main.get_command(single)


app = typer.Typer(name="chiasm", cls=_Verbs, no_args_is_help=True, epilog=EXIT_CODES, **_PLAIN)


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
    """Learn one space for text, images and audio from your own paired data: build, train, evaluate, search, convert.

    Begin with `chiasm demo`. Every verb has its own --help.
    """


def main() -> None:
    """The console script."""
    for stream in (sys.stdout, sys.stderr):  # a terminal or pipe of a narrow encoding gets escapes and not an error
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        app(prog_name="chiasm")
    except KeyboardInterrupt:  # before a verb has begun
        sys.exit(130)
