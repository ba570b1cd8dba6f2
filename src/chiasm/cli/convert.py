"""`chiasm convert`: anything that a run's tasks allow into anything that they want."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chiasm.cli.output import Device, Json, print_json, show

if TYPE_CHECKING:
    from chiasm.config import DecodingConfig
    from chiasm.declare import RecordField
    from chiasm.train.converting import ConvertingModel


KINDS = ("greedy", "sample", "beam")
"""How what comes next is chosen."""


def convert(
    ctx: typer.Context,
    run: Annotated[
        str, typer.Argument(help="A run with tasks; `starter` is the checkpoint that is shipped.", metavar="RUN")
    ] = "starter",
    text: Annotated[
        list[str] | None, typer.Option(help="A text or a file of one, or the question to answer.", metavar="TEXT|F")
    ] = None,
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
        str | None,
        typer.Option(
            help="How it is decoded.  [default: greedy, or what the options below need]", metavar="|".join(KINDS)
        ),
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
    seed: Annotated[
        int | None, typer.Option(min=0, help="sample: the same seed gives the same result.  [default: 0]", metavar="N")
    ] = None,
    listing: Annotated[bool, typer.Option("--list", help="Say what the run can convert, and end.")] = False,
    device: Annotated[Device, typer.Option(help="Where to compute.")] = Device.auto,
    as_json: Json = False,
) -> None:
    """Convert pictures, sounds, clips and texts into each other.

    Words go to stdout, or with --out into files; pictures (PNG) and sounds (WAV) into files. An input that cannot be read is named, the
    others go on, and the exit code is 3.

    \b
    Examples:
      chiasm convert --list
      chiasm convert --image cat.png
      chiasm convert --image cat.png --text "What is it?" --to answer
      chiasm convert --image "photos/*.png" --to boxes --out found
      chiasm convert runs/any --text "a red disc" --to image --out disc.png
    """
    from chiasm.cli.convert_given import check_there, mistaken, note_texts, read_given
    from chiasm.cli.convert_job import Job
    from chiasm.cli.convert_written import ENDINGS, plan
    from chiasm.errors import ConfigError, DataError

    media = {of for of, files in (("image", image), ("audio", audio), ("video", video)) if files}
    if (mistake := mistaken(run, ctx.args, media)) is not None:
        raise ConfigError(mistake)
    named = {"kind": kind, "temperature": temperature, "top_k": top_k, "top_p": top_p, "beams": beams, "seed": seed}
    options = decoding({**named, "guidance": guidance, "candidates": candidates})
    if listing:
        if text or image or audio or video or record:
            raise ConfigError("--list only says what the run can convert: leave it out to convert what is given")
        _list(open_model(run, device.value), as_json)
        return
    # Whatever can be said without the model is said before it is loaded.
    given = read_given(text or (), {"image": image or (), "audio": audio or (), "video": video or ()}, record or ())
    if not given:
        raise ConfigError(
            "nothing to convert: give --text, --image, --audio, --video or --record; --list says what fits"
        )
    check_there(given)
    note_texts(text or ())
    from chiasm.train.abilities import target_of

    target = target_of(to or "text", language)
    if task is None and target.of in ENDINGS:
        plan(target.of, given, out, overwrite)
    model = open_model(run, device.value)
    parts = {"turns"} if record else set(given[0].parts)
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
    """Raises ModelError where the run does not convert, ConfigError where there is no such device."""
    from chiasm.api import load
    from chiasm.errors import ModelError
    from chiasm.train.converting import ConvertingModel
    from chiasm.train.machine import choose_device
    from chiasm.train.model import NO_TASKS
    from chiasm.train.system_model import holds_system

    if holds_system(Path(run)):
        raise ModelError(f"{run}: a run of a named system; only runs of the chiasm model with tasks convert")
    choose_device(device)
    model = load(run, device=device)
    if not isinstance(model, ConvertingModel):
        raise ModelError(f"{run}: {NO_TASKS}")
    return model


def decoding(asked: Mapping[str, Any]) -> DecodingConfig:
    """The options that were given; without `kind`, the one that they need. Raises ConfigError where they contradict each other."""
    from pydantic import ValidationError

    from chiasm.config import DecodingConfig
    from chiasm.errors import ConfigError

    tree = {name: value for name, value in asked.items() if value is not None}
    if tree.get("kind", "greedy") not in KINDS:
        near = difflib.get_close_matches(str(tree["kind"]), KINDS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(KINDS)}"
        raise ConfigError(f"--kind {tree['kind']}: no such kind; {hint}")
    sampling = [name for name in ("temperature", "top_k", "top_p") if name in tree]
    needed = "beam" if "beams" in tree else "sample" if sampling or tree.get("candidates", 1) > 1 else "greedy"
    kind = tree.setdefault("kind", needed)
    idle = sampling + [name for name in ("seed",) if name in tree] if kind != "sample" else []
    idle += ["beams"] if "beams" in tree and kind != "beam" else []
    if idle:
        named = ", ".join(f"--{name.replace('_', '-')}" for name in idle)
        raise ConfigError(
            f"{named}: of no effect with --kind {kind}" + ("; add --kind sample" if idle == ["seed"] else "")
        )
    try:
        return DecodingConfig.model_validate(tree)
    except ValidationError as error:
        lines = [_as_option(item["loc"], item["msg"], item["input"]) for item in error.errors()]
        raise ConfigError("\n".join(lines)) from None


def _as_option(place: tuple[int | str, ...], message: str, value: object) -> str:
    """What is wrong with a setting, in the words of the command line."""
    if not place:  # two do not fit together: the message begins with the name of one
        return f"--{message.removeprefix('Value error, ')}"
    shown = f"{value:g}" if isinstance(value, float) else value
    return f"--{str(place[0]).replace('_', '-')} {shown}: {message.removeprefix('Input ')}"


def _check_target(model: ConvertingModel, name: str, to: RecordField | None) -> None:
    from chiasm.errors import ConfigError

    wanted = model.tasks[name].wanted
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
                "part_of": task.part_of,
            }
            for name, task in model.tasks.items()
        ]
        known = {"languages": list(facts.languages), "voices": list(facts.makers), "objects": list(facts.objects)}
        print_json({"tasks": tasks, **known})
        return
    from rich.box import SIMPLE_HEAD
    from rich.table import Table as Grid
    from rich.text import Text

    from chiasm.train.abilities import IN_PYTHON

    grid = Grid(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("task", "given", "wanted", "choices"):
        grid.add_column(name, justify="right" if name == "choices" else "left")
    idle: list[str] = []
    for name, task in model.tasks.items():
        count = len(model.choices(name))
        told = name if task.part_of is None else f"{name} (of {task.part_of})"
        grid.add_row(
            *map(Text, (told, ", ".join(map(str, task.given)), str(task.wanted), f"{count:,}" if count else ""))
        )
        idle += [name] if task.wanted.of in ("space", "item") else []
    lines = [
        f"{what}: {', '.join(values)}"
        for what, values in (("languages", facts.languages), ("voices", facts.makers), ("objects", facts.objects))
        if values
    ]
    lines += [f"{', '.join(idle)}: {IN_PYTHON}"] if idle else []
    show(grid, *lines)
