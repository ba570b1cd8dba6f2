"""`chiasm index`: the model's embeddings and the indexes into the table."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from chiasm.cli.output import Device, Json, counted, print_json, say, show


class Take(StrEnum):
    """Which of a record's items of one modality make its vector."""

    first = "first"
    all = "all"


def index(
    run: Annotated[Path, typer.Argument(help="A run folder.", metavar="RUN")],
    table: Annotated[Path, typer.Argument(help="A table made by `chiasm build`.", metavar="TABLE.lance")],
    items: Annotated[
        Take, typer.Option(help="A record's vectors: its first text, picture and sound, or the mean of all.")
    ] = Take.first,
    device: Annotated[Device, typer.Option(help="Where to compute.")] = Device.auto,
    as_json: Json = False,
) -> None:
    """Embed every record and index it, to be searched."""
    from dataclasses import asdict

    from chiasm.cli.progress import Progress
    from chiasm.dataset.table import Table
    from chiasm.search.index import index as index_table
    from chiasm.train.model import load

    opened = Table(table)
    model = load(run, device=device.value)
    with Progress() as progress:
        info = index_table(model, opened, items=items.value, run=run, progress=progress)
    if as_json:
        print_json({**asdict(info), "table": str(opened.path)})
        return
    counts = ", ".join(f"{count:,} {modality}" for modality, count in info.vectors.items())
    lines = [f"{counted(info.rows, 'record')}: {counts} vectors of {info.dimension} numbers"]
    for name, count in info.unreadable.items():
        lines.append(f"{count:,} {name} items could not be read and have no vector")
    show(*lines)
    for entry in info.rejected[:3]:
        say(f"  {entry.id}: {entry.message}")
    say(f'next: chiasm search {opened.path} "some words"')
