"""A sheet in memory whose records were really examined, and changed copies of pictures and sounds."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import soundfile
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from record_sheet import RecordSheet

from chiasm.dataset.examine import examine
from chiasm.dataset.measure import MEASURES
from chiasm.dataset.split import Key
from chiasm.types import Record


class MeasuredSheet(RecordSheet):
    """What the examination of `records` leaves."""

    def __init__(self, records: Sequence[Record]) -> None:
        found = [examine(record, None, frozenset(), True) for record in records]
        super().__init__([one.record for one in found if one.record is not None])
        self._keys = [one.key for one in found if one.record is not None]
        rows = [one.measures for one in found if one.record is not None]
        self._measures = pa.Table.from_pylist(rows, schema=MEASURES)

    @property
    def keys(self) -> Sequence[Key]:
        return self._keys


def drawing(seed: int, width: int = 96, height: int = 72) -> Image.Image:
    """Some ten coloured shapes on white."""
    random = np.random.default_rng(seed)
    canvas = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(canvas)
    for _ in range(10):
        x, y = random.integers(0, width), random.integers(0, height)
        w, h = random.integers(8, width // 2), random.integers(8, height // 2)
        colour = tuple(int(level) for level in random.integers(0, 256, 3))
        (draw.ellipse if random.random() < 0.5 else draw.rectangle)((x, y, x + w, y + h), fill=colour)
    return canvas


def encoded(picture: Image.Image, kind: str = "PNG", **options: int) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def word(seed: int, seconds: float = 0.6) -> NDArray[np.float32]:
    """A gliding tone with overtones that swells and fades, at 16 kHz, as no other seed has it."""
    random = np.random.default_rng(seed)
    time = np.arange(int(16_000 * seconds)) / 16_000
    samples = np.zeros(len(time))
    for _ in range(6):
        pitch = (
            random.uniform(150, 3000)
            + random.uniform(-1500, 1500) * time
            + 80 * np.sin(2 * np.pi * random.uniform(2, 9) * time)
        )
        swell = np.exp(-(((time - random.uniform(0.1, seconds - 0.1)) / random.uniform(0.05, 0.2)) ** 2))
        samples += swell * np.sin(2 * np.pi * np.cumsum(pitch) / 16_000)
    return (0.3 * samples / np.abs(samples).max()).astype(np.float32)


def sound_file(samples: NDArray[np.float32], kind: str = "FLAC") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, 16_000, format=kind)
    return file.getvalue()
