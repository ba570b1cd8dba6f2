"""A tiny table with real media, and runs on it that take seconds."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from chiasm.config import RunConfig, load_config
from chiasm.dataset.build import build
from chiasm.modalities.audio import RATE, encode_audio
from chiasm.train.run import train

COLOURS = {"red": (220, 30, 30), "green": (30, 180, 40), "blue": (30, 60, 220), "black": (10, 10, 10)}
SIZES = ("small", "large", "wide", "tall", "cornered")


def picture(colour: str, size: str) -> bytes:
    pixels = np.full((16, 16, 3), 255, np.uint8)
    part = {"small": (6, 10, 6, 10), "large": (1, 15, 1, 15), "wide": (6, 10, 0, 16), "tall": (0, 16, 6, 10)}
    y0, y1, x0, x1 = part.get(size, (0, 5, 0, 5))
    pixels[y0:y1, x0:x1] = COLOURS[colour]
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def sound(colour: str, size: str) -> bytes:
    seconds = 0.1 + 0.05 * SIZES.index(size)
    time = np.arange(int(RATE * seconds)) / RATE
    return encode_audio((0.4 * np.sin(2 * np.pi * (300 + 500 * list(COLOURS).index(colour)) * time)).astype(np.float32))


def make_table(folder: Path) -> Path:
    """20 things: each a picture and a name, four in five also a sound."""
    source = folder / "things"
    source.mkdir()
    for c, colour in enumerate(COLOURS):
        for s, size in enumerate(SIZES):
            stem = source / f"{size}-{colour}"
            stem.with_suffix(".png").write_bytes(picture(colour, size))
            stem.with_suffix(".txt").write_text(f"a {size} {colour} block", encoding="utf8")
            if (c + s) % 5:
                stem.with_suffix(".flac").write_bytes(sound(colour, size))
    return build(str(source), folder / "things.lance", _build_config()).path


def _build_config() -> Any:
    from chiasm.config import BuildConfig

    return BuildConfig(validation=0.2, test=0.1, workers=1)


def run_config(table: Path, *overrides: str) -> RunConfig:
    base = {
        "data": {"table": str(table)},
        "model": {
            "width": 16,
            "heads": 2,
            "layers": 2,
            "embedding": 8,
            "text": {"vocabulary": 300, "length": 16, "layers": 1},
            "image": {"size": 16, "patch": 4},
            "audio": {"seconds": 0.5},
        },
        "train": {"batch": 8, "steps": 12, "checkpoint_steps": 3, "threads": 1, "processes": 1, "precision": "fp32"},
    }
    return load_config(RunConfig, base=base, overrides=overrides)


def go_on(file: Path, out: Path, resume: bool) -> None:
    """What `chiasm train FILE --out OUT [--resume]` does, in a process that is there already."""
    train(load_config(RunConfig, file), out, resume=resume)


def losses(run: Path) -> list[float]:
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf8").splitlines()]
    steps = [line for line in lines if "loss" in line]
    assert [line["step"] for line in steps] == list(range(1, len(steps) + 1)), "every step once, in order"
    return [line["loss"] for line in steps]


def weights(run: Path) -> dict[str, Sequence[bytes]]:
    import safetensors.numpy

    newest = sorted((run / "checkpoints").glob("step-*"))[-1]
    return {
        f"{name}/{key}": value.tobytes()
        for name in ("model", "optimizer")
        for key, value in safetensors.numpy.load_file(newest / f"{name}.safetensors").items()
    }
