"""Small real media and records that the tests of this room share."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal

import numpy as np
import soundfile
from PIL import Image

from chiasm.dataset import shards
from chiasm.dataset.build import build
from chiasm.sources.source import Progress
from chiasm.types import Media, Record, Rejected, Text


def picture(seed: int, kind: str = "PNG", side: int = 12) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def sound(seed: int, seconds: float = 0.05) -> bytes:
    file = io.BytesIO()
    samples = np.random.default_rng(seed).uniform(-0.5, 0.5, int(16000 * seconds)).astype(np.float32)
    soundfile.write(file, samples, 16000, format="FLAC")
    return file.getvalue()


def record(number: int, group: str | None = None, split: str | None = None) -> Record:
    return Record(
        id=f"r{number}",
        texts=(Text(f"text {number}", "en"), Text(f"Text {number}", "de")),
        image=(Media(data=picture(number), by="me"),),
        group=group,
        split=split,
        source="here",
    )


def build_small_shards(source: str, out: Path, begins: Connection) -> None:
    """A build that says when it begins, in a process that is there already."""
    shards.CHUNK_ROWS = 8
    begins.send(None)
    build(source, out, overwrite=True)


class ListSource:
    """A source of what it is given."""

    name = "list"
    attribution = "Pictures: nobody."
    checked = frozenset[str]()
    found = ""

    def __init__(
        self,
        items: Sequence[Record | Rejected],
        root: Path | None = None,
        rule: Literal["groups", "forms"] = "groups",
    ) -> None:
        self._items, self.root, self.rule = items, root, rule

    @property
    def total(self) -> int:
        return len(self._items)

    def prepare(self, progress: Progress | None = None) -> None:
        """Nothing to make."""

    def records(self) -> Iterator[Record | Rejected]:
        yield from self._items
