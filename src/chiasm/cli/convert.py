"""`chiasm convert`: anything that a run's tasks allow into anything that they want."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chiasm.cli.output import Device, Json, print_json, show

if TYPE_CHECKING:
    from chiasm.config import DecodingConfig
    from chiasm.declare import RecordField
    from chiasm.train.converting import ConvertingModel


class Kind(StrEnum):
    """How what comes next is chosen."""

    greedy = "greedy"
    sample = "sample"
    beam = "beam"


def convert(
    run: Annotated[
        str, typer.Argument(help="A run with tasks; `starter` is the checkpoint that is shipped.", metavar="RUN")
    ] = "starter",
    text: Annotated[list[str] | None, typer.Option(help="A text, or the question to answer.", metavar="TEXT")] = None,
    image: Annotated[
        list[str] | None,
        typer.Option(help='A picture, a folder of them, or a quoted pattern ("a/*.png").', metavar="F"),
    ] = None,
    audio: Annotated[list[str] | None, typer.Option(help="A sound, or several likewise.", metavar="F")] = None,
    video: Annotated[list[str] | None, typer.Option(help="A clip, or several likewise.", metavar="F")] = None,
    record: Annotated[
        list[Path] | None, typer.Option(help="A dialogue: docs/converting.md has the format.", metavar="FILE.json")
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(
            help="What is wanted: text, answer, label, image, audio, boxes, mask, or label:intent.  [default: text, or as TASK says]",
            metavar="FIELD[:NAME]",
        ),
    ] = None,
    task: Annotated[str | None, typer.Option(help="Which task, where several fit; see --list.", metavar="NAME")] = None,
    language: Annotated[str | None, typer.Option(help="Of the text or speech that is wanted.", metavar="xx")] = None,
    by: Annotated[str | None, typer.Option(help="The voice that speaks.", metavar="VOICE")] = None,
    choice: Annotated[
        list[str] | None, typer.Option(help="The only answers to choose from; repeat it.", metavar="A")
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(help="The file to write; of several inputs, the folder.", metavar="FILE|FOLDER"),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there already.")] = False,
    kind: Annotated[
        Kind | None, typer.Option(help="How it is decoded.  [default: greedy, or what the options below need]")
    ] = None,
    temperature: Annotated[float | None, typer.Option(help="sample: above 1 wilder, below 1 safer.")] = None,
    top_k: Annotated[int | None, typer.Option(help="sample: from so many likeliest.", metavar="K")] = None,
    top_p: Annotated[float | None, typer.Option(help="sample: from the likeliest of this share.", metavar="P")] = None,
    beams: Annotated[int | None, typer.Option(help="beam: how many continuations are kept.", metavar="N")] = None,
    guidance: Annotated[
        float | None, typer.Option(help="How much closer to what is given (needs a task with `blank`).", metavar="S")
    ] = None,
    candidates: Annotated[
        int | None, typer.Option(help="Write so many, keep the one that fits what was given best.", metavar="N")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="sample: the same seed gives the same result.", metavar="N")] = 0,
    listing: Annotated[bool, typer.Option("--list", help="Say what the run can convert, and end.")] = False,
    device: Annotated[Device, typer.Option(help="Where to compute.")] = Device.auto,
    as_json: Json = False,
) -> None:
    """Convert pictures, sounds, clips and texts into each other.

    Words go to stdout, or with --out into files; pictures (PNG) and sounds (WAV) into files. An input that cannot be read is named, the
    others go on, and the exit code is 3.
    """
    from chiasm.cli.convert_given import read_given
    from chiasm.cli.convert_job import Job
    from chiasm.errors import ConfigError, DataError
    from chiasm.train.abilities import target_of

    named = {"kind": kind and kind.value, "temperature": temperature, "top_k": top_k, "top_p": top_p, "beams": beams}
    options = decoding({**named, "guidance": guidance, "candidates": candidates, "seed": seed})
    given = read_given(text or (), {"image": image or (), "audio": audio or (), "video": video or ()}, record or ())
    if not given and not listing:
        raise ConfigError(
            "nothing to convert: give --text, --image, --audio, --video or --record; --list says what fits"
        )
    model = open_model(run, device.value)
    if listing:
        _list(model, as_json)
        return
    parts = {"turns"} if record else set(given[0].parts)
    target = target_of(to or "text", language)
    names = model.tasks_for(parts, to or "text", task, target.language)
    if to is not None or task is not None:
        _check_target(model, names[0], None if to is None else target)
    job = Job(model, names, given, options, target.language, by, choice, as_json)
    job.run(out, overwrite)
    if as_json:
        wanted = str(model.tasks[names[0]].wanted)
        results = [job.entries[place] for place in range(len(given))]
        kept = job.kept or names
        one = next(iter(kept)) if len(kept) == 1 else None
        print_json({"task": one, "wanted": wanted, "results": results, "failed": len(job.failed)})
    if job.failed:
        raise DataError(f"{len(job.failed)} of {len(given)} inputs could not be read")


def open_model(run: str, device: str) -> ConvertingModel:
    """Raises ModelError where the run does not convert."""
    from chiasm.api import load
    from chiasm.errors import ModelError
    from chiasm.train.converting import ConvertingModel
    from chiasm.train.model import NO_TASKS
    from chiasm.train.system_model import holds_system

    if holds_system(Path(run)):
        raise ModelError(f"{run}: a run of a named system; only runs of the chiasm model with tasks convert")
    model = load(run, device=device)
    if not isinstance(model, ConvertingModel):
        raise ModelError(f"{run}: {NO_TASKS}")
    return model


def decoding(asked: Mapping[str, Any]) -> DecodingConfig:
    """The options that were given; without `kind`, the one that they need. Raises ConfigError where they contradict each other."""
    from chiasm.config import DecodingConfig, validate
    from chiasm.errors import ConfigError

    tree = {name: value for name, value in asked.items() if value is not None}
    sampling = [name for name in ("temperature", "top_k", "top_p") if name in tree]
    needed = "beam" if "beams" in tree else "sample" if sampling or tree.get("candidates", 1) > 1 else "greedy"
    kind = tree.setdefault("kind", needed)
    idle = sampling if kind != "sample" else []
    idle += ["beams"] if "beams" in tree and kind != "beam" else []
    if idle:
        named = ", ".join(f"--{name.replace('_', '-')}" for name in idle)
        raise ConfigError(f"{named}: of no effect with --kind {kind}")
    return validate(DecodingConfig, tree, "decoding")


def _check_target(model: ConvertingModel, name: str, to: RecordField | None) -> None:
    from chiasm.errors import ConfigError

    wanted = model.tasks[name].wanted
    if wanted.of in ("space", "item"):
        raise ConfigError(f"the task {name!r} gives vectors: use model.embed or model.recommend in Python")
    if to is None or (to.of == "text" and to.name is None and model.tasks[name].writer == "text"):
        return
    if to.of != wanted.of or to.name not in (None, wanted.name):
        raise ConfigError(f"the task {name!r} wants {wanted}, not {to}")


def _list(model: ConvertingModel, as_json: bool) -> None:
    """What a run can convert."""
    facts = model.converter.facts
    if as_json:
        tasks = [
            {
                "name": name,
                "given": [str(f) for f in task.given],
                "wanted": str(task.wanted),
                "choices": len(model.choices(name)),
            }
            for name, task in model.tasks.items()
        ]
        known = {"languages": list(facts.languages), "voices": list(facts.makers), "objects": list(facts.objects)}
        print_json({"tasks": tasks, **known})
        return
    from rich.box import SIMPLE_HEAD
    from rich.table import Table as Grid
    from rich.text import Text

    grid = Grid(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("task", "given", "wanted", "choices"):
        grid.add_column(name, justify="right" if name == "choices" else "left")
    for name, task in model.tasks.items():
        count = len(model.choices(name))
        grid.add_row(
            *map(Text, (name, ", ".join(map(str, task.given)), str(task.wanted), f"{count:,}" if count else ""))
        )
    lines = [
        f"{what}: {', '.join(values)}"
        for what, values in (("languages", facts.languages), ("voices", facts.makers), ("objects", facts.objects))
        if values
    ]
    show(grid, *lines)
