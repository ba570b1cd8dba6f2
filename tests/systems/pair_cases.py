"""A small table of drawn scenes, coloured squares side by side, and small sizes of the systems that read a picture beside its caption."""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from chiasm.config import BuildConfig, SystemRunConfig, load_config
from chiasm.dataset.build import build
from chiasm.train.distributed import World
from chiasm.train.named import SystemJob
from chiasm.types import Box, Media, Question, Record, Relation, Text

COLOURS = {"red": (220, 30, 30), "green": (20, 180, 40), "blue": (30, 50, 220), "yellow": (230, 220, 40)}
SMALL: dict[str, dict[str, Any]] = {
    "vilbert": {
        "width": 32, "heads": 2, "layers": 2, "hidden": 64, "region_width": 24, "region_heads": 2, "region_layers": 1,
        "region_hidden": 32, "crossings": 1, "crossing_heads": 2, "crossing_width": 16,
    },
    "albef": {
        "width": 32, "heads": 2, "hidden": 64, "image_layers": 1, "text_layers": 1, "fusion_layers": 1, "side": 16, "patch": 8,
        "embedding": 16, "queue": 24,
    },
    "adapter_xl": {"width": 32, "heads": 2, "layers": 1, "side": 16, "patch": 8, "bottleneck": 8},
}  # fmt: skip
SMALL["ernie_vil"] = SMALL["vilbert"]
SYSTEMS = ("vilbert", "uniter", "vl_bert", "unicoder_vl", "oscar", "albef", "ernie_vil", "adapter_xl")


class Scenes:
    """1 to 3 squares of different colours on white, each small or big."""

    name, attribution, found, root, total, rule, checked = "drawn", "", "", None, 48, "groups", frozenset({"image"})

    def prepare(self, progress: object = None) -> None: ...

    def records(self) -> Iterator[Record]:
        for index in range(self.total):
            random = np.random.default_rng(index)
            names = random.permutation(list(COLOURS))[: random.integers(1, 4)].tolist()
            pixels = np.full((96, 96, 3), 255, np.uint8)
            boxes: list[Box] = []
            sizes: list[str] = []
            for column, name in enumerate(names):
                side = (16, 28)[int(random.integers(2))]
                x, y = 32 * column + 2, int(random.integers(96 - side))
                pixels[y : y + side, x : x + side] = COLOURS[name]
                boxes.append(Box(x / 96, y / 96, (x + side) / 96, (y + side) / 96, name))
                sizes.append("small" if side == 16 else "big")
            file = io.BytesIO()
            Image.fromarray(pixels).save(file, "PNG")
            order = [Relation(a, "left of", b) for a, b in pairwise(names)]
            told = " left of ".join(f"a {size} {name}" for size, name in zip(sizes, names, strict=True))
            yield Record(
                f"scene-{index}",
                (Text(f"{told}.", "en"),),
                (Media(file.getvalue()),),
                boxes=tuple(boxes),
                relations=(*(Relation(n, "is", s) for n, s in zip(names, sizes, strict=True)), *order),
                questions=(Question("how many are there?", (str(len(names)),), "en"), Question("which is first?", (names[0],), "en")),
                group=f"scene-{index}",
            )  # fmt: skip


def make_scenes(folder: Path) -> Path:
    return build(Scenes(), folder / "scenes.lance", BuildConfig(validation=0.2, test=0.05, workers=1)).path


def make_job(system: str, table: Path, folder: Path, *overrides: str) -> SystemJob:
    regions = {"features": 16, "crop": 6, "regions": 4}
    change = SMALL.get(system, {"width": 32, "heads": 2, "layers": 1, "hidden": 64})
    base = {
        "system": system,
        "change": change if system in ("albef", "adapter_xl") else {**change, **regions},
        "data": {"table": str(table), "vocabulary": 300},
        "train": {"batch": 16, "steps": 40, "precision": "fp32"},
    }
    config = load_config(SystemRunConfig, base=base, overrides=overrides)
    job = SystemJob(config, folder, World(), torch.device("cpu"), torch.float32, None, None)
    job.calibrate(torch.device("cpu"))
    return job
