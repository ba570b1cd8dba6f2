"""The rows of a data set as a trained model sees them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from chiasm.dataset.step import Embedder, Sheet
from chiasm.modalities.media import read_bytes
from chiasm.types import Media, Text

T = TypeVar("T")


def embed_rows(sheet: Sheet, modality: str, model: Embedder) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Positions of the rows that have the modality, and the vectors [n, E] of their first item of it."""
    field_name = "texts" if modality == "text" else modality
    rows: list[int] = []
    vectors: list[NDArray[np.float32]] = []
    positions = {int(row): position for position, row in enumerate(sheet.rows)}
    for block in _batched(sheet.records(None, [field_name]), 256):
        chosen: list[tuple[int, Text | Media]] = [
            (positions[row], getattr(record, field_name)[0]) for row, record in block if getattr(record, field_name)
        ]
        if not chosen:
            continue
        rows += [position for position, _ in chosen]
        texts = [item for _, item in chosen if isinstance(item, Text)]
        media = [Media(data=read_bytes(item, sheet.root)) for _, item in chosen if isinstance(item, Media)]
        vectors.append(np.asarray(model.embed_items(modality, texts or media), np.float32))
    return np.array(rows, np.int64), np.concatenate(vectors) if vectors else np.zeros((0, 1), np.float32)


def _batched(items: Iterable[T], count: int) -> Iterator[list[T]]:
    block: list[T] = []
    for item in items:
        block.append(item)
        if len(block) == count:
            yield block
            block = []
    if block:
        yield block
