"""Tables of drawn rooms and of sessions, and a tiny run of conversion tasks of every kind over them."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from train_cases import COLOURS, run_config

from chiasm.config import BuildConfig, RunConfig, SystemRunConfig, load_config
from chiasm.dataset.build import build
from chiasm.train.run import train
from chiasm.types import Box, Label, Media, Question, Record, Text

GERMAN = {"red": "rot", "green": "grün", "blue": "blau", "black": "schwarz"}


def png(pixels: np.ndarray) -> Media:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return Media(file.getvalue())


def room(index: int) -> Record:
    """One or two coloured squares on white, with all that can be asked of them."""
    random = np.random.default_rng(index)
    names = random.permutation(list(COLOURS))[: 1 + index % 2].tolist()
    pixels, mask = np.full((16, 16, 3), 255, np.uint8), np.zeros((16, 16), np.uint8)
    boxes: list[Box] = []
    for k, name in enumerate(names):
        x, y = 8 * k + int(random.integers(3)), int(random.integers(10))
        pixels[y : y + 5, x : x + 5], mask[y : y + 5, x : x + 5] = COLOURS[name], k + 1
        boxes.append(Box(x / 16, y / 16, (x + 5) / 16, (y + 5) / 16, name))
    return Record(
        f"room-{index}",
        texts=(Text(" and ".join(names), "en"), Text(" und ".join(GERMAN[n] for n in names), "de")),
        image=(png(pixels),),
        labels=(Label("first", names[0]),),
        boxes=tuple(boxes),
        mask=png(mask),
        questions=(
            Question("how many", (str(len(names)),), "en"),
            Question("which is first", (names[0],), "en"),
            Question("which is last", (names[-1],), "en"),
        ),
    )


def session(index: int) -> Record:
    names = [list(COLOURS)[(index + k) % 4] for k in range(2 + index % 3)]
    pictures = [png(np.full((16, 16, 3), COLOURS[name], np.uint8)) for name in names]
    return Record(f"session-{index}", tuple(Text(name) for name in names), tuple(pictures))


class Drawn:
    name, attribution, found, root, rule, checked = "drawn", "", "", None, "groups", frozenset[str]()

    def __init__(self, records: Sequence[Record]) -> None:
        self._records, self.total = records, len(records)

    def prepare(self, progress: object = None) -> None: ...

    def records(self) -> Iterator[Record]:
        yield from self._records


def drawn_table(records: Sequence[Record], path: Path) -> Path:
    return build(Drawn(records), path, BuildConfig(validation=0.2, test=0.1, workers=1)).path  # type: ignore[arg-type]


def quantizer(table: Path, modality: str, out: Path) -> Path:
    """A run of one step."""
    change = {
        "image": {"side": 16, "width": 8, "fine_width": 8, "depth": 1, "fine_depth": 1, "levels": [3, 3]},
        "audio": {"width": 8, "depth": 1, "levels": [3, 3], "seconds": 0.5},
    }[modality]
    base: dict[str, Any] = {
        "system": f"{modality}_quantizer",
        "change": change,
        "data": {"table": str(table), "vocabulary": 300},
        "train": {"batch": 4, "steps": 1, "threads": 1, "precision": "fp32"},
    }
    train(load_config(SystemRunConfig, base=base), out)
    return out


def tasks(things: Path, sessions: Path) -> dict[str, Any]:
    heard = {"table": str(things)}
    return {
        "caption": {"given": ["image"], "wanted": "text.en"},
        "german": {"given": ["image"], "wanted": "text.de"},
        "translate": {"given": ["text.en", "image?"], "wanted": "text.de"},
        "scene": {"given": ["image", "question"], "wanted": "answer", "together": 2},
        "first": {"given": ["text"], "wanted": "label:first"},
        "boxes": {"given": ["image"], "wanted": "boxes"},
        "mask": {"given": ["image"], "wanted": "mask"},
        "draw": {"given": ["text"], "wanted": "image", "blank": 0.2},
        "paint": {"given": ["text"], "wanted": "image", "order": "parallel", "weight": 0.5},
        "say": {"given": ["text"], "wanted": "audio", "weight": 2.0, **heard},
        "hear": {"given": ["audio"], "wanted": "text", **heard},
        "next": {"given": ["history"], "wanted": "item", "table": str(sessions)},
        "space": {"given": ["text", "image", "audio"], "wanted": "space", **heard},
    }


def joint_config(table: Path, chosen: dict[str, Any], quantizers: dict[str, str], *overrides: str) -> RunConfig:
    plain = run_config(table).model_dump(mode="json")
    plain |= {
        "tasks": chosen,
        "conversion": {
            "quantizers": quantizers, "text_length": 8, "audio_length": 12, "boxes": 2, "bins": 16, "adapter_size": 4,
        },
    }  # fmt: skip
    settings = (
        "model.text.layers=null",
        "model.text.vocabulary=400",
        "train.threads=2",
        "optimizer.learning_rate=0.01",
    )
    return load_config(RunConfig, base=plain, overrides=(*settings, *overrides))
