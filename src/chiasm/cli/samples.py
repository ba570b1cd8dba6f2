"""`chiasm samples`: a few inputs to try `chiasm convert` with, none of which the starter checkpoint has seen."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from chiasm.cli.output import Json, check_folder, print_json, say
from chiasm.errors import ConfigError

if TYPE_CHECKING:
    from chiasm.dataset.table import Table
    from chiasm.types import Media, Record

SMALL: dict[str, dict[str, Any]] = {
    "emoji": {},
    "emoji-scenes": {"scenes": 40, "test": 0.5},
    "emoji-motion": {"clips": 40, "test": 0.4},
    "emoji-dialogue": {"dialogues": 40, "test": 0.5, "voices": ("en-us",)},
    "spoken-commands": {"voices": ("en-us",)},
}
"""What is built for it, in seconds, and thrown away."""


class Sample(NamedTuple):
    """A file (None: words alone), what it shows, and what to type."""

    file: str | None
    truth: str
    command: str


def samples(
    out: Annotated[Path, typer.Argument(help="The folder to write.", metavar="OUT")],
    as_json: Json = False,
) -> None:
    """Write a few inputs to try `convert` with.

    They come from the embedded data: forms of emoji, scenes, clips and dialogues that the starter checkpoint was not trained on.
    """
    from tempfile import TemporaryDirectory

    from chiasm.cli.demo_conversions import HELD_OUT, OF_EMOJI, SEED
    from chiasm.cli.progress import Progress
    from chiasm.config import BuildConfig
    from chiasm.dataset.build import build
    from chiasm.dataset.table import Table

    check_folder(out)
    if out.exists() and any(out.iterdir()):
        raise ConfigError(f"{out}: holds files already; name a new folder")
    held: dict[str, tuple[Table, Sequence[Record]]] = {}
    with TemporaryDirectory() as folder, Progress() as progress:
        for name, change in SMALL.items():
            # Emoji and commands are what they are; which of them are held out is known by the usual seed.
            drawn = {} if name in ("emoji", "spoken-commands") else {"seed": SEED}
            path = Path(folder) / f"{name}.lance"
            build(name, path, BuildConfig(**drawn, **change), progress=progress)
            table = Table(path)
            order = OF_EMOJI if name == "emoji" else HELD_OUT
            split = next(one for one in order if one in table.splits())
            held[name] = table, table.records(table.rows(f"split = '{split}'")[:1])
        out.mkdir(parents=True, exist_ok=True)
        made = _write(out, held)
    if as_json:
        print_json([one._asdict() for one in made])
        return
    for one in made:
        # To be copied: a table would break it at the terminal's width.
        sys.stdout.write(f"{one.command}\n    {one.truth}\n")
    say(f"{len({one.file for one in made if one.file})} files in {out}")


def _write(out: Path, held: dict[str, tuple[Table, Sequence[Record]]]) -> list[Sample]:
    def keep(name: str, stem: str, medium: Media) -> str:
        data = held[name][0].read(medium)
        file = out / f"{stem}.{_ending(data)}"
        file.write_bytes(data)
        return str(file)

    def ask(*words: str) -> str:
        return shlex.join(["chiasm", "convert", *words])

    emoji, scene, clip, talk, command = (held[name][1][0] for name in SMALL)
    name = emoji.texts[0].text
    picture = keep("emoji", "picture", emoji.image[0])
    word = keep("emoji", "word", next(a for a in emoji.audio if a.language == "en"))
    placed = keep("emoji-scenes", "scene", scene.image[0])
    moving = keep("emoji-motion", "clip", clip.video[0])
    spoken = keep("spoken-commands", "command", command.audio[0])
    about_scene = next(q for q in scene.questions if q.language == "en")
    about_clip = next(q for q in clip.questions if q.language == "en")
    intent = next(x.value for x in command.labels if x.name == "intent")
    boxes = ", ".join(sorted(box.label for box in scene.boxes))
    turns, last = _dialogue(talk, lambda stem, medium: keep("emoji-dialogue", stem, medium))
    file = out / "talk.json"
    file.write_text(json.dumps({"turns": turns}, ensure_ascii=False, indent=1) + "\n", encoding="utf8")
    drawn, said = out / "drawn.png", out / "said.wav"
    return [
        Sample(picture, name, ask("--image", picture)),
        Sample(None, "a picture of it", ask("--text", name, "--to", "image", "--out", str(drawn))),
        Sample(word, name, ask("--audio", word)),
        Sample(None, "the digit, spoken", ask("--text", "seven", "--to", "audio", "--out", str(said))),
        Sample(placed, about_scene.answers[0], ask("--image", placed, "--text", about_scene.question, "--to", "text")),
        Sample(placed, boxes, ask("--image", placed, "--to", "boxes")),
        Sample(moving, clip.texts[0].text, ask("--video", moving)),
        Sample(moving, about_clip.answers[0], ask("--video", moving, "--text", about_clip.question)),
        Sample(spoken, intent, ask("--audio", spoken, "--to", "label")),
        Sample(str(file), last, ask("--record", str(file), "--to", "answer")),
        Sample(None, "German", ask("--text", name, "--to", "text", "--language", "de")),
    ]


def _dialogue(record: Record, keep: Any) -> tuple[list[dict[str, str]], str]:
    """The turns as `convert --record` reads them, the last without its answer; and that answer."""
    turns: list[dict[str, str]] = []
    for k, question in enumerate(record.questions):
        turn = {"question": question.question, "answer": question.answers[0]}
        for field, media in (("image", record.image), ("audio", record.audio)):
            mine = [medium for medium in media if medium.kind == f"turn:{k}"]
            if mine:
                turn[field] = Path(keep(f"turn-{k}", mine[0])).name
        turns.append(turn)
    return turns, turns[-1].pop("answer")


def _ending(data: bytes) -> str:
    """Of the formats that the embedded data has."""
    return "png" if data.startswith(b"\x89PNG") else "flac" if data.startswith(b"fLaC") else "mp4"
