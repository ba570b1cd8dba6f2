"""`chiasm train`: a run from a recipe, or from a table alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chiasm.cli.output import Json, check_folder, print_json, say, show


def train(
    what: Annotated[
        str | None,
        typer.Argument(help="A run's YAML, or a table: then all has its default.", metavar="RUN.yaml|TABLE.lance"),
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Argument(help="Settings, e.g. train.batch=512 model.width=256.", metavar="KEY=VALUE")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The run's folder.  [default: runs/NAME]", metavar="DIR")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last checkpoint in DIR, with its settings.")
    ] = False,
    minutes: Annotated[
        float | None, typer.Option(help="End after so long (train.minutes).  [default for a table: 10]", metavar="M")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="End after so many steps (train.steps).", metavar="N")] = None,
    as_json: Json = False,
) -> None:
    """Train a model and write its run folder."""
    from chiasm.cli.progress import Progress
    from chiasm.errors import ConfigError

    if what is not None and "=" in what and not Path(what).exists():
        # The first positional argument is what to train; a setting in its place would be lost.
        if resume:
            raise ConfigError(f"a resumed run keeps its settings: leave out {what}")
        raise ConfigError(f"{what!r} is a setting: say first what to train, a RUN.yaml or a table")
    if what is None and not (resume and out):
        raise ConfigError("say what to train: a RUN.yaml or a table (or --resume with --out DIR)")
    if resume and (overrides or minutes is not None or steps is not None):
        raise ConfigError("a resumed run keeps its settings: leave out KEY=VALUE, --minutes and --steps")
    folder = out or Path("runs") / Path(what or "").stem
    check_folder(folder)
    from chiasm.api import run_config
    from chiasm.train.folder import read_config
    from chiasm.train.run import train as run_training

    config = read_config(folder) if resume else run_config(what or "", overrides or (), minutes=minutes, steps=steps)
    with Progress() as progress:
        result = run_training(config, folder, resume=resume, progress=progress)
    final = float(result.losses[-1]) if len(result.losses) else None
    if as_json:
        print_json({"run": str(result.run), "steps": result.steps, "seconds": result.seconds, "loss": final})
        return
    shown = "" if final is None else f", last loss {final:.4g}"
    show(f"{result.steps:,} steps in {result.seconds:.0f} s{shown}", f"run: {result.run}")
    say(f"next: chiasm evaluate {result.run} {config.data.table}")
