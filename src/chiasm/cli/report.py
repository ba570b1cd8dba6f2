"""`chiasm report`: what a table holds, how varied, good, balanced and leak-proof it is, as a page and as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chiasm.cli.output import Device, Json, check_file, print_json, say, show
from chiasm.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.table import Table as Grid


def report(
    table: Annotated[Path, typer.Argument(help="A table made by `chiasm build`.", metavar="TABLE.lance")],
    out: Annotated[
        Path | None,
        typer.Option(
            help="The page to write.  [default: TABLE.report.html beside the table, or here of a table on object storage]",
            metavar="FILE",
        ),
    ] = None,
    against: Annotated[
        Path | None, typer.Option(help="Another table, whose coverage by this one is told.", metavar="TABLE.lance")
    ] = None,
    taxonomy: Annotated[
        Path | None, typer.Option(help="A file of classes (text or YAML) whose coverage is told.", metavar="FILE")
    ] = None,
    by: Annotated[
        list[str] | None,
        typer.Option(
            help="A label, `language`, `source`, `licence` or `image by` whose balance is told; may be repeated.  [default: "
            "all of 2 to 40 values]",
            metavar="LABEL",
        ),
    ] = None,
    fail_if: Annotated[
        list[str] | None,
        typer.Option(
            help="A condition to fail by, e.g. 'duplicates>0' or 'agreement<0.6'; may be repeated.", metavar="CONDITION"
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "-c", "--config", help="Build settings, whose section `report` is the default.", metavar="BUILD.yaml"
        ),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(help="A run that judges agreement and variety.  [default: linear features]", metavar="RUN"),
    ] = None,
    sample: Annotated[
        int | None, typer.Option(min=16, help="Rows whose media are decoded.  [default: 2000]", metavar="N")
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of the sample and of the intervals' resampling.", metavar="N")
    ] = 0,
    device: Annotated[Device, typer.Option(help="Where the model computes.")] = Device.auto,
    as_json: Json = False,
) -> None:
    """Report on a table: counts, quality, bias, leaks and more.

    One page that needs nothing else, or with --json everything it says as one JSON object (and a page only where --out names one).
    Ends with exit code 3 where a condition of --fail-if holds.
    """
    from chiasm.cli.progress import Progress
    from chiasm.config import BuildConfig, load_config
    from chiasm.dataset.place import is_remote
    from chiasm.dataset.table import Table
    from chiasm.evaluate.data.checks import thresholds
    from chiasm.evaluate.data.page import write_data_report
    from chiasm.evaluate.data.report import report_on

    wanted = load_config(BuildConfig, config).report
    changes = {
        "sample": sample,
        "by": tuple(by) if by else None,
        "taxonomy": None if taxonomy is None else str(taxonomy),
        "fail_if": {**wanted.fail_if, **thresholds(fail_if)} if fail_if else None,
    }
    wanted = wanted.model_copy(update={name: value for name, value in changes.items() if value is not None})
    opened = Table(table)
    other = None if against is None else Table(against)
    if out is None and not as_json:
        page = f"{table.name.removesuffix('.lance')}.report.html"
        out = Path(page) if is_remote(table) else table.with_name(page)
    if out is not None:
        check_file(out)  # before the work, not after it
    judge = None
    if model is not None:
        from chiasm.train.model import load

        judge = load(model, device=device.value)
    with Progress() as progress:
        found = report_on(opened, wanted, other=other, model=judge, seed=seed, progress=progress)
        if out is not None:
            write_data_report(found, out)
    if as_json:
        print_json(found.facts)
    else:
        show(*figures_table(found.facts))
    if out is not None:
        say(f"written: {out}")
    if found.facts["failed"]:
        raise DataError("; ".join(found.facts["failed"]))


def figures_table(facts: Mapping[str, Any]) -> list[Grid]:
    """The figures that thresholds may name, for the terminal."""
    from chiasm.cli.evaluate_tables import make_grid
    from chiasm.evaluate.data.checks import MEANING

    grid = make_grid(facts["table"]["name"], ("figure", "value", "what it is"))
    grid.columns[2].justify = "left"
    grid.columns[2].no_wrap = False
    for name, value in facts["figures"].items():
        shown = "not measured" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
        grid.add_row(name, shown, MEANING[name])
    return [grid]
