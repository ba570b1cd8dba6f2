"""`chiasm augment`: what the step augment would make of a table's rows, as a contact sheet."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chiasm.cli.output import Json, check_file, counted, print_json, say


def augment(
    table: Annotated[Path, typer.Argument(help="A table made by `chiasm build`.", metavar="TABLE.lance")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="Settings of the step, e.g. magnitude=15 copies=4 mix=0.5.", metavar="KEY=VALUE"),
    ] = None,
    preview: Annotated[Path, typer.Option(help="The picture to write.", metavar="FILE.png")] = Path("augmented.png"),
    config: Annotated[
        Path | None,
        typer.Option(
            "-c", "--config", help="Build settings, whose section `augment` is the default.", metavar="BUILD.yaml"
        ),
    ] = None,
    count: Annotated[int, typer.Option("-n", min=1, max=100, help="Rows to show.", metavar="N")] = 6,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the rows and of what is done to them.", metavar="N")] = 0,
    as_json: Json = False,
) -> None:
    """Show changed copies of a table's rows, as a build makes them.

    Nothing is written into the table: `chiasm build TABLE.lance OUT.lance augment.copies=2` does that, to the rows of train alone.
    """
    from chiasm.config import BuildConfig, load_config
    from chiasm.dataset.augment_sheet import colours_named
    from chiasm.dataset.augment_sheet import preview as draw
    from chiasm.dataset.augmenting import read_words
    from chiasm.dataset.table import Table
    from chiasm.errors import ConfigError

    if preview.suffix.lower() not in (".png", ".webp", ".jpg", ".jpeg"):
        raise ConfigError(f"{preview}: name a picture to write: .png, .webp or .jpg")
    check_file(preview)
    settings = load_config(
        BuildConfig, config, [f"augment.{one.removeprefix('augment.')}" for one in overrides or ()]
    ).augment
    if not settings.copies:
        settings = settings.model_copy(update={"copies": 5})
    opened = Table(table)
    words = None if settings.words is None else read_words(Path(settings.words))
    sheet, shown = draw(opened, settings, count, seed, words)
    preview.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(preview)
    if as_json:
        print_json({"preview": str(preview), "rows": shown, "copies": settings.copies})
    copies = counted(settings.copies, "copy", "copies")
    say(f"{counted(shown, 'row')} of train, {'each ' if shown > 1 else ''}with {copies}: {preview}")
    note = colours_named(opened, settings)
    if note is not None:
        say(note)
