"""`chiasm rate`: rating sheets for people, made from results and read when they are filled."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from chiasm.cli.guard import EXIT_CODES, guarded
from chiasm.cli.output import Json, check_file, print_json, say, show

rate = typer.Typer(
    epilog=EXIT_CODES,
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@rate.callback()
def group() -> None:
    """Rating sheets for people: make them, and read what they say."""


@rate.command("make", epilog=EXIT_CODES)
@guarded
def make(
    results: Annotated[
        list[Path],
        typer.Argument(
            help="One file of results a system: lines of {id, given, made} or {id, candidate}.",
            metavar="RESULTS.jsonl…",
        ),
    ],
    out: Annotated[Path, typer.Option(help="The sheet; its key is written beside it.", metavar="SHEET.html")],
    baseline: Annotated[
        str | None,
        typer.Option(
            help="The system that the others are compared with, by its file's name.  [default: the first]",
            metavar="NAME",
        ),
    ] = None,
    items: Annotated[
        int | None, typer.Option(min=1, help="At most so many things.  [default: all]", metavar="N")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the order and the sides.", metavar="N")] = 0,
    as_json: Json = False,
) -> None:
    """Make a sheet: one page to rate results on, blind and in random order.

    It asks for the quality and the relevance of each result, and which of two is better. What a rater saves is read by `chiasm rate read`.
    """
    from chiasm.evaluate.rating.sheets import key_of, make_sheet, systems_of

    check_file(out)
    key = make_sheet(systems_of(results), out, baseline=baseline, items=items, seed=seed)
    if as_json:
        counts = {"items": len(key["items"]), "pairs": len(key["pairs"])}
        print_json({"sheet": str(out), "key": str(key_of(out)), "systems": key["systems"], **counts})
        return
    show(
        f"{len(key['items'])} results to rate and {len(key['pairs'])} pairs to choose from, of {len(key['systems'])} systems"
    )
    say(f"written: {out}\nkey, not for the raters: {key_of(out)}")


@rate.command("read", epilog=EXIT_CODES)
@guarded
def read(
    filled: Annotated[list[Path], typer.Argument(help="What raters saved.", metavar="FILLED.jsonl…")],
    key: Annotated[Path, typer.Option(help="The sheet's key.", metavar="SHEET.key.json")],
    seed: Annotated[int, typer.Option(min=0, help="Seed of the intervals' resampling.", metavar="N")] = 0,
    as_json: Json = False,
) -> None:
    """Read filled sheets: means by system, wins against the baseline, agreement of the raters."""
    from chiasm.evaluate.rating.read import read_sheets

    found = read_sheets(filled, key, seed)
    if as_json:
        print_json(found)
        return
    lines = found["lines"]
    show(f"{len(found['raters'])} raters, {lines['accepted']} of {lines['given']} lines")
    for name, entry in found["scales"].items():
        _show(name, "mean", entry)
    if "preference" in found:
        _show(f"preferred to {found['preference']['baseline']}", "win_rate", found["preference"])
    for reason, count in lines["reasons"].items():
        say(f"left out: {count}: {reason}")


def _show(title: str, figure: str, entry: Mapping[str, Any]) -> None:
    from chiasm.cli.evaluate_tables import make_grid

    agreed = entry["agreement"]
    said = "" if agreed is None else f", Krippendorff's alpha {agreed['alpha']:.3f}"
    grid = make_grid("", ("system", figure.replace("_", " "), "95 %", "n"))
    for system, one in entry["systems"].items():
        low, high = one["interval"]
        grid.add_row(system.replace("[", r"\["), f"{one[figure]:.3f}", f"{low:.3f}–{high:.3f}", str(one["n"]))
    show(title + said, grid)
