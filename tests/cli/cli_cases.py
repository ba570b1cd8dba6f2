"""A tiny data set as a user would have it, and the command run in this process."""

from __future__ import annotations

import json
import wave
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from typer.testing import CliRunner, Result

from chiasm.cli.main import app

COLOURS = {"red": (220, 40, 40), "green": (40, 180, 60), "blue": (50, 70, 220), "yellow": (230, 220, 60)}
SHAPES = ("disc", "square", "bar")

TINY = (
    "train.batch=4", "train.threads=1", "train.device=cpu", "model.width=32", "model.heads=2", "model.layers=1",
    "model.embedding=16", "model.text.vocabulary=300", "model.text.length=16", "model.image.size=16",
    "model.audio.seconds=0.5",
)  # fmt: skip


@dataclass(frozen=True)
class Made:
    folder: Path
    table: Path
    run: Path


def chiasm(*arguments: object) -> Result:
    """Run the command; stdout and stderr apart."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def ok(*arguments: object) -> Result:
    result = chiasm(*arguments)
    assert result.exit_code == 0, result.stderr
    return result


def as_json(*arguments: object) -> Any:
    """The one JSON object on stdout, and nothing but it."""
    return json.loads(ok(*arguments, "--json").stdout)


def make_folder(folder: Path, *, sounds: bool = True) -> Path:
    """12 pictures with a text each, and for half of them a tone: files of one name belong together."""
    folder.mkdir(parents=True)
    for place, (colour, shape) in enumerate((c, s) for c in COLOURS for s in SHAPES):
        pixels = np.full((24, 24, 3), 255, np.uint8)
        rows, columns = np.mgrid[:24, :24] - 12
        inside = {
            "disc": rows**2 + columns**2 < 64,
            "square": (abs(rows) < 8) & (abs(columns) < 8),
            "bar": abs(rows) < 4,
        }
        pixels[inside[shape]] = COLOURS[colour]
        name = folder / f"{colour}_{shape}"
        Image.fromarray(pixels).save(name.with_suffix(".png"))
        name.with_suffix(".txt").write_text(f"a {colour} {shape}", encoding="utf8")
        if sounds and place % 2 == 0:
            write_tone(name.with_suffix(".wav"), 200 + 50 * place)
    return folder


def write_tone(path: Path, hertz: float) -> None:
    samples = (8000 * np.sin(2 * np.pi * hertz * np.arange(8000) / 16000)).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(samples.tobytes())
