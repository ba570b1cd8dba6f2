"""A small real table (pictures drawn, tones synthesised) and models whose quality is known beforehand."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import lance
import numpy as np
import soundfile
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from chiasm.dataset.schema import to_arrow
from chiasm.dataset.table import META, Table
from chiasm.types import Label, Media, Record, Text

COLOURS = {
    "red": (220, 40, 40),
    "green": (30, 160, 60),
    "blue": (40, 70, 210),
    "yellow": (240, 200, 30),
    "purple": (130, 40, 160),
}
SHAPES = ("circle", "square", "triangle", "bar")
ZH = {
    "red": "红",
    "green": "绿",
    "blue": "蓝",
    "yellow": "黄",
    "purple": "紫",
    "circle": "圆",
    "square": "方",
    "triangle": "三角",
    "bar": "条",
}
HOSTILE = '<script>alert("x")</script> & "quotes" \'single\''


def picture(colour: str, shape: str, size: int) -> bytes:
    image = Image.new("RGB", (32, 32), "white")
    draw = ImageDraw.Draw(image)
    low, high = 16 - size, 16 + size
    if shape == "circle":
        draw.ellipse((low, low, high, high), fill=COLOURS[colour])
    elif shape == "square":
        draw.rectangle((low, low, high, high), fill=COLOURS[colour])
    elif shape == "triangle":
        draw.polygon(((16, low), (low, high), (high, high)), fill=COLOURS[colour])
    else:
        draw.rectangle((low, 14, high, 18), fill=COLOURS[colour])
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def tone(colour: str, shape: str, size: int, pitch: float) -> bytes:
    time = np.arange(4000) / 16_000
    first, second = 300 + 150 * list(COLOURS).index(colour), 1200 + 300 * SHAPES.index(shape)
    wave = np.where(time < 0.125, np.sin(2 * np.pi * first * pitch * time), np.sin(2 * np.pi * second * pitch * time))
    file = io.BytesIO()
    soundfile.write(file, (0.05 * size * wave).astype(np.float32), 16_000, format="FLAC")
    return file.getvalue()


def shapes() -> list[Record]:
    """80 records: 5 colours × 4 shapes × 4 sizes; the third size is validation, the fourth the test."""
    records: list[Record] = []
    for colour in COLOURS:
        for shape in SHAPES:
            for size, word in ((6, "tiny"), (8, "small"), (10, "middling"), (12, "large")):
                name = f"{word} {colour} {shape}"
                sounds = tuple(
                    Media(data=tone(colour, shape, size, pitch), by=by, text=name)
                    for by, pitch in (("low", 1.0), ("high", 1.3))
                )
                records.append(
                    Record(
                        id=name.replace(" ", "-"),
                        texts=(
                            Text(name, "en", "name"),
                            Text(f"{word}{ZH[colour]}{ZH[shape]}", "zh", "name"),
                        ),
                        image=(Media(data=picture(colour, shape, size), by="pencil"),),
                        audio=sounds,
                        labels=(Label("colour", colour), Label("shape", shape), Label("kind", "drawing")),
                        group=f"{colour} {shape}",
                        split={"large": "test", "middling": "validation"}.get(word, "train"),
                        source="drawn",
                        licence="CC0-1.0",
                    )
                )
    return records


def save(path: Path, records: Sequence[Record], **metadata: object) -> Table:
    batch = to_arrow(records)
    dataset = lance.write_dataset([batch], path, schema=batch.schema)
    dataset.update_metadata({META: json.dumps({"format": 1, **metadata})})
    return Table(path)


@dataclass
class Known:
    """Knows every item of the table and returns its record's own vector, with noise: 0 = perfect; None = one
    constant vector.

    Class names fall on the mean of the records that carry them.
    """

    records: Sequence[Record]
    noise: float | None = 0.0
    modalities: tuple[str, ...] = ("text", "image", "audio")
    dimension: int = 96

    def __post_init__(self) -> None:
        self.calls: list[tuple[str, int]] = []
        self.seen: list[object] = []
        base = np.random.default_rng(0).normal(size=(len(self.records), self.dimension)).astype(np.float32)
        self.vector: dict[object, NDArray[np.float32]] = {}
        for row, record in zip(base, self.records, strict=True):
            for item in (*record.texts, *record.image, *record.audio):
                self.vector[item.text if isinstance(item, Text) else item.data] = row
        for value in {label.value for record in self.records for label in record.labels}:
            members = [label.value == value for record in self.records for label in record.labels]
            owner = np.repeat(np.arange(len(self.records)), [len(r.labels) for r in self.records])
            self.vector.setdefault(value, base[owner[members]].sum(axis=0))

    @property
    def identity(self) -> str:
        return hashlib.sha256(f"known {self.noise}".encode()).hexdigest()

    def embed_items(
        self, modality: str, items: Sequence[Text | Media], *, progress: Callable[[int], None] | None = None
    ) -> NDArray[np.float32]:
        self.calls.append((modality, len(items)))
        keys = [item.text if isinstance(item, Text) else item.data for item in items]
        self.seen += keys
        found = np.stack([self.vector[key] for key in keys])
        if self.noise is None:
            found = np.zeros_like(found)
            found[:, 0] = 1
        elif self.noise:
            for row, key in zip(found, keys, strict=True):
                seed = int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:4], "little")
                row += self.noise * np.random.default_rng(seed).normal(size=self.dimension)
        return found / np.linalg.norm(found, axis=1, keepdims=True)
