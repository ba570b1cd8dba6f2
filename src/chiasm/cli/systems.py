"""`chiasm systems`: the named systems, listed, taken apart and trained side by side."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from chiasm.cli.guard import EXIT_CODES, guarded
from chiasm.cli.output import Json, check_folder, print_json, say, show, width_of

if TYPE_CHECKING:
    from rich.table import Table as Grid

    from chiasm.evaluate.comparison.compare import Entrant
    from chiasm.systems.system import Spec

DEFAULT_MINUTES = 2.0
"""How long each system of a comparison trains that is given neither minutes nor steps."""


class Size(StrEnum):
    """Of a named system."""

    tiny = "tiny"
    base = "base"


class _Systems(TyperGroup):
    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        found = super().get_command(ctx, cmd_name)
        if found is None and not cmd_name.startswith("-"):
            there = ", ".join(self.list_commands(ctx))
            ctx.fail(f"no such command {cmd_name!r}; there are {there} (of one system: chiasm systems show NAME)")
        return found


systems = typer.Typer(
    cls=_Systems, rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False, epilog=EXIT_CODES
)


@systems.callback(invoke_without_command=True)
@guarded
def listing(ctx: typer.Context, as_json: Json = False) -> None:
    """The named systems of the literature: list, show, compare."""
    if ctx.invoked_subcommand is not None:
        return
    from chiasm.systems.catalogue import SPECS

    if as_json:
        print_json([facts_of(spec) for spec in SPECS.values()])
        return
    rows = [_line(spec) for spec in SPECS.values()]
    # One line each: a narrow screen costs the objectives their ends.
    taken = sum(max(map(len, column)) + 3 for column in zip(*(row[:-1] for row in rows), strict=True))
    left = max(width_of(sys.stdout) - taken - 3, 20)
    grid = _grid(("name", "year", "takes in", "fusion", "objectives"))
    for row in rows:
        last = row[-1] if len(row[-1]) <= left else row[-1][: left - 1] + "…"
        grid.add_row(*row[:-1], last)
    show(grid)
    say("next: chiasm systems show NAME; chiasm train TABLE.lance system=NAME")


def _line(spec: Spec[Any]) -> tuple[str, ...]:
    fusion = re.split(r" \(| of |, ", spec.fusion)[0]
    years = re.findall(r"\b(?:19|20)\d\d\b", spec.paper)
    return spec.name, years[0] if years else "", ", ".join(spec.inputs), fusion, " + ".join(spec.objectives)


def facts_of(spec: Spec[Any]) -> dict[str, Any]:
    """What a system is, as JSON."""
    return {
        "name": spec.name,
        "title": spec.title,
        "paper": spec.paper,
        "inputs": spec.inputs,
        "fusion": spec.fusion,
        "objectives": spec.objectives,
        "differs": spec.differs,
        "attends": spec.attends.splitlines(),
        "measure": spec.measure.kind,
    }


@systems.command("show", epilog=EXIT_CODES)
@guarded
def show_system(
    name: Annotated[str, typer.Argument(help="A named system.", metavar="NAME")],
    size: Annotated[Size, typer.Option(help="base: the published size.")] = Size.tiny,
    as_json: Json = False,
) -> None:
    """The parts of one system, its parameters, what can be changed, and what attends to what."""
    from chiasm.systems.anatomy import anatomy
    from chiasm.systems.catalogue import find

    spec = find(name)
    found = anatomy(spec, size.value)
    if as_json:
        print_json(
            facts_of(spec)
            | {
                "size": size.value,
                "parameters": found.parameters,
                "published": found.published,
                "note": found.note,
                "parts": found.parts,
                "dimensions": {key: one.value for key, one in found.dimensions.items()},
                "vocabulary": found.facts.vocabulary,
            }
        )
        return
    parts = _grid(("part", "parameters"))
    for part, count in found.parts.items():
        parts.add_row(part, f"{count:,}")
    dimensions = _grid(("change.…", size.value, ""))
    for key, one in found.dimensions.items():
        dimensions.add_row(key, str(one.value), one.meaning)
    facts = {
        "paper": spec.paper,
        "takes in": ", ".join(spec.inputs),
        "fusion": spec.fusion,
        "objectives": " + ".join(spec.objectives),
        "differs": spec.differs,
        "measured": spec.measure.kind,
    }
    lines = [f"{spec.title} ({size.value})", *(f"  {key:<11}{value}" for key, value in facts.items())]
    attends = ["what attends to what", *(f"  {line}" for line in spec.attends.splitlines()), ""]
    counted = f"{found.parameters:,} parameters"
    counted += f"; published: {found.published:,}" if found.published is not None else ""
    if size is Size.tiny and found.facts.vocabulary:
        counted += f", with a vocabulary of {found.facts.vocabulary:,}"
    show(*lines, "", *attends, counted, *([f"  {found.note}"] if found.note else []), "", parts, dimensions)
    say(f"next: chiasm train TABLE.lance system={spec.name}{'' if size is Size.tiny else ' size=base'}")


@systems.command("compare", epilog=EXIT_CODES)
@guarded
def compare_systems(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            help="Named systems, and settings for all of them, e.g. train.threads=1.", metavar="NAME|KEY=VALUE"
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every named system.")] = False,
    fusion: Annotated[
        str | None,
        typer.Option(help="Ways to fuse, all else equal: `all`, or some with commas between.", metavar="KINDS"),
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option(
            help="What they learn from.  [default: emoji-scenes, built into OUT/scenes.lance]", metavar="TABLE.lance"
        ),
    ] = None,
    on: Annotated[
        list[str] | None,
        typer.Option(
            help="Another table for some systems, e.g. simclr,moco=cifar.lance; may be repeated.", metavar="NAMES=TABLE"
        ),
    ] = None,
    minutes: Annotated[float | None, typer.Option(help="Train each for so long.  [default: 2]", metavar="M")] = None,
    steps: Annotated[int | None, typer.Option(help="Train each for so many steps.", metavar="N")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of weights and batches.", metavar="N")] = 0,
    out: Annotated[Path, typer.Option(help="Where runs, table and page go.", metavar="DIR")] = Path("runs/compare"),
    as_json: Json = False,
) -> None:
    """Train the tiny sizes on the same data, one after the other, and write a table and a page with curves.

    What an earlier comparison finished in DIR with the same settings is used again; one that was interrupted goes on.
    """
    from chiasm.cli.progress import Progress
    from chiasm.errors import ConfigError, DataError
    from chiasm.evaluate.comparison.compare import compare

    check_folder(out)
    overrides = [name for name in names or [] if "=" in name]
    wanted = [name for name in names or [] if "=" not in name]
    tables = _tables(on or [])
    rows = _entrants(wanted, everything, fusion, tables, table or out / "scenes.lance")
    if not rows:
        raise ConfigError("say what to compare: names of systems, --all, or --fusion all (`chiasm systems` lists them)")
    if minutes is None and steps is None:
        minutes = DEFAULT_MINUTES
    with Progress() as progress:
        if table is None and any(row.table == out / "scenes.lance" for row in rows):
            _scenes(out / "scenes.lance", progress)
        found = compare(
            rows, out, minutes=minutes, steps=steps, seed=seed, overrides=overrides, progress=progress
        ).to_json()
    if as_json:
        print_json(found)
    else:
        show(compare_table(found["rows"]))
        for row in found["rows"]:
            if row["failed"]:
                say(f"{row['name']}: {row['failed']}")
        show(f"page:  {found['page']}", f"table: {found['table']}")
    if all(row["failed"] for row in found["rows"]):
        raise DataError("none of the systems could be trained and measured; the rows say why")


def _entrants(
    names: Sequence[str], everything: bool, fusion: str | None, tables: Mapping[str, Path], table: Path
) -> list[Entrant]:
    """The rows that are asked for. Raises ConfigError for names and kinds that do not exist."""
    from chiasm.evaluate.comparison.compare import Entrant
    from chiasm.systems.catalogue import SPECS, find

    chosen = list(dict.fromkeys([*(SPECS if everything else ()), *(find(name).name for name in names)]))
    kinds = _kinds(fusion)
    for name in tables:
        if find(name).name not in chosen and not (kinds and name == "early_fusion"):
            chosen.append(name)
    rows = [Entrant(name, name, tables.get(name, table)) for name in chosen if not (kinds and name == "early_fusion")]
    here = tables.get("early_fusion", table)
    return rows + [Entrant(f"fusion-{kind}", "early_fusion", here, {"fusion": kind}) for kind in kinds]


def _kinds(fusion: str | None) -> Sequence[str]:
    if fusion is None:
        return ()
    import difflib

    from chiasm.errors import ConfigError
    from chiasm.fusion.make import KINDS

    if fusion == "all":
        return KINDS
    wanted = [kind.strip() for kind in fusion.split(",") if kind.strip()]
    for kind in wanted:
        if kind not in KINDS:
            near = difflib.get_close_matches(kind, KINDS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are all, {', '.join(KINDS)}"
            raise ConfigError(f"--fusion: no kind {kind!r}; {hint}")
    return wanted


def _tables(on: Sequence[str]) -> dict[str, Path]:
    """--on NAMES=TABLE, by system."""
    from chiasm.errors import ConfigError

    found: dict[str, Path] = {}
    for text in on:
        names, equals, path = text.partition("=")
        if not (names and equals and path):
            raise ConfigError(f"--on {text!r}: write NAMES=TABLE, e.g. simclr,moco=cifar.lance")
        found.update((name.strip(), Path(path)) for name in names.split(","))
    return found


def _scenes(path: Path, progress: Any) -> None:
    """Build the default table where it is not there yet."""
    from chiasm.config import BuildConfig
    from chiasm.dataset.build import build

    if not path.exists():
        build("emoji-scenes", path, BuildConfig(), progress=progress)


def compare_table(rows: Sequence[Mapping[str, Any]]) -> Grid:
    """A comparison for the terminal, without sizes and steps, for which a line has no room. "!" marks a value level with chance."""
    names = ("system: measure", "losses: last/chance", "value", "95 %", "chance", "CPU s")
    grid = _grid(names, right=2)
    grid.columns[1].no_wrap = True  # a loss a line
    for row in rows:
        losses = "\n".join(
            f"{name.replace('_', ' ')} {loss['last']:.3g}" + (f"/{loss['chance']:.3g}" if loss["chance"] else "")
            for name, loss in row["losses"].items()
        )
        measure = row["measure"]
        shown = ("–",) * 3
        if measure:
            value = f"{measure['value']:.3f}{'' if measure['beats_chance'] else '!'}"
            interval = f"{measure['low']:.3f}–{measure['high']:.3f}"
            shown = (value, interval, f"{measure['chance']:.3f}")
        cpu = "–" if row["cpu_seconds"] is None else f"{row['cpu_seconds']:.0f}"
        name = row["name"] + (f"\n  {measure['name']}" if measure else "")
        grid.add_row(name, losses, *shown, cpu)
    return grid


def _grid(names: Sequence[str], right: int | None = None) -> Grid:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table as Grid

    grid = Grid(box=SIMPLE_HEAD, pad_edge=False)
    for place, name in enumerate(names):
        numeric = name == "parameters" or (right is not None and place >= right)
        grid.add_column(name, justify="right" if numeric else "left", no_wrap=place == 0 or numeric)
    return grid
