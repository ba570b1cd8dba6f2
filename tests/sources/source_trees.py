"""Small trees of real files in published layouts, and what a source makes of them."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from PIL import Image

from chiasm.config import BuildConfig
from chiasm.dataset.clean import check_record
from chiasm.modalities.video import write_video
from chiasm.sources import open_source
from chiasm.sources.source import Source
from chiasm.types import Record, Rejected


def picture(seed: int = 0, kind: str = "PNG", size: tuple[int, int] = (20, 10)) -> bytes:
    """A picture of `size` (width, height)."""
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def sound(seed: int = 0, kind: str = "WAV") -> bytes:
    file = io.BytesIO()
    noise = np.random.default_rng(seed).normal(0, 0.1, 1600)
    soundfile.write(file, noise, 16000, format=kind)
    return file.getvalue()


def clip(seed: int = 0) -> bytes:
    return write_video(np.random.default_rng(seed).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8), 4)


def write(root: Path, files: dict[str, bytes | str]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


@dataclass(frozen=True)
class Read:
    source: Source
    records: dict[str, Record]
    rejected: list[Rejected]
    remarks: list[Rejected]

    @property
    def refused(self) -> list[tuple[str, str]]:
        return [(item.id, item.reason) for item in self.rejected]


def read(path: Path, *, decode: bool = True, **config: Any) -> Read:
    """Everything that the source at `path` gives; ids are unique, and every medium that a record names can be read."""
    source = open_source(str(path), BuildConfig(**config))
    source.prepare()
    items = list(source.records())
    records = [item for item in items if isinstance(item, Record)]
    assert len({record.id for record in records}) == len(records)
    for record in records if decode else ():
        checked = check_record(record, source.root)
        assert checked.rejected == (), record.id
    refusals = [item for item in items if isinstance(item, Rejected)]
    assert list(source.records()) == items, "another order in a second run"
    return Read(
        source,
        {record.id: record for record in records},
        [item for item in refusals if item.part == "record"],
        [item for item in refusals if item.part != "record"],
    )
