"""`chiasm search`: ask an indexed table with words, a picture, a sound or a clip."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from chiasm.cli.output import Device, Json, print_json, show, width_of

if TYPE_CHECKING:
    from rich.table import Table as Grid

    from chiasm.search.query import Hit


class Target(StrEnum):
    """Whose vectors are searched."""

    text = "text"
    image = "image"
    audio = "audio"
    video = "video"
    any = "any"


def search(
    table: Annotated[Path, typer.Argument(help="A table indexed by `chiasm index`.", metavar="TABLE.lance")],
    text: Annotated[str | None, typer.Argument(help='Words to search for, e.g. "red apple".', metavar="TEXT")] = None,
    image: Annotated[Path | None, typer.Option(help="A picture to search for.", metavar="FILE")] = None,
    audio: Annotated[Path | None, typer.Option(help="A sound to search for.", metavar="FILE")] = None,
    video: Annotated[Path | None, typer.Option(help="A clip to search for.", metavar="FILE")] = None,
    to: Annotated[
        Target | None,
        typer.Option(help="Whose vectors are searched.  [default: image where there are any, else video, else text]"),
    ] = None,
    k: Annotated[int, typer.Option("-k", help="How many records.", metavar="N")] = 5,
    where: Annotated[
        str | None, typer.Option(help="""Only these rows, e.g. "split = 'test'".""", metavar="SQL")
    ] = None,
    hybrid: Annotated[
        float,
        typer.Option(help="Weight of full-text matches of TEXT: 0 vectors only, 1 words only.", metavar="W"),
    ] = 0.0,
    run: Annotated[
        Path | None,
        typer.Option(help="The model that asks.  [default: the run that indexed the table]", metavar="RUN"),
    ] = None,
    device: Annotated[Device, typer.Option(help="Where to compute.")] = Device.auto,
    as_json: Json = False,
) -> None:
    """Ask a table with words, a picture, a sound or a clip.

    Several of them together are added: a picture and the word that should change it.
    """
    from chiasm.api import Dataset, indexed_run, load
    from chiasm.search.index import index_info

    dataset = Dataset(table)
    index_info(dataset)  # "not indexed" is said before a model is loaded for nothing
    model = load(run or indexed_run(dataset), device=device.value)
    hits = dataset.search(
        text,
        image=image,
        audio=audio,
        video=video,
        to=to.value if to else None,
        k=k,
        where=where,
        hybrid=hybrid,
        model=model,
    )
    if as_json:
        print_json({"results": [hit.to_json() for hit in hits]})
    elif hits:
        show(hits_table(hits, width=width_of(sys.stdout)))
    else:
        show("nothing found" + (f" among the rows where {where}" if where else ""))


def hits_table(hits: Sequence[Hit], title: str | None = None, width: int = 120) -> Grid:
    """Hits for the terminal: score, id, first texts, split, what the record carries and where it lies."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table as Grid
    from rich.text import Text

    rows: list[tuple[str, ...]] = []
    for hit in hits:
        media = [name if hit.where(name) is None else f"{name} {hit.where(name)}" for name in hit.has]
        texts = " · ".join(text.text for text in hit.record.texts[:3])
        rows.append((str(hit.rank), f"{hit.score:.3f}", hit.id, texts, hit.record.split or "", ", ".join(media)))
    # Cut here, so that a narrow terminal costs the texts their ends and not the scores their digits.
    limits = {2: min(24, width // 5), 4: 12, 5: min(36, width // 4)}
    taken = [
        min(max(map(len, column)), limits.get(place, width)) for place, column in enumerate(zip(*rows, strict=True))
    ]
    limits[3] = max(12, width - sum(taken) + taken[3] - 3 * len(taken))
    heading = None if title is None else Text(title, "bold")
    grid = Grid(title=heading, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for name in ("", "score", "id", "text", "split", "has"):
        grid.add_column(name, justify="right" if name in ("", "score") else "left", no_wrap=True)
    for row in rows:
        cells = [Text(" ".join(words.split())) for words in row]  # Text: data is never markup
        for place, limit in limits.items():
            cells[place].truncate(limit, overflow="ellipsis")
        grid.add_row(*cells)
    return grid
