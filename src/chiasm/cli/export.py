"""`chiasm export`: a run as weights to hand on."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from chiasm.cli.output import Json, print_json, show


class Precision(StrEnum):
    fp16 = "fp16"
    bf16 = "bf16"
    fp32 = "fp32"


def export(
    run: Annotated[Path, typer.Argument(help="A run folder, or a checkpoint folder.", metavar="RUN")],
    out: Annotated[Path, typer.Argument(help="The folder to write.", metavar="OUT")],
    precision: Annotated[Precision, typer.Option(help="Of the weights in the file.")] = Precision.fp16,
    mean: Annotated[
        list[Path] | None,
        typer.Option(help="Another run of its make, to average the weights with; repeat it.", metavar="RUN"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a run's weights to hand on: small, and without paths."""
    from chiasm.train.exported import export as write

    done = write(run, out, precision.value, mean or ())
    if as_json:
        print_json({"path": str(done.path), "step": done.step, "numbers": done.numbers, "bytes": done.bytes})
        return
    show(f"{done.numbers:,} numbers, {done.bytes / 1e6:.1f} MB ({precision.value})", f"written: {done.path}")
