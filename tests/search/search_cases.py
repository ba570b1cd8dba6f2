"""A small table, and an embedder whose geometry is known: a word is a random direction."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from chiasm.dataset.table import Table
from chiasm.errors import MediaError
from chiasm.types import Media, Record, Text


class Words:
    """An Embedder to whom texts and media are words; an item is the sum of the directions of its words."""

    def __init__(self, identity: str = "words-1", modalities: tuple[str, ...] = ("text", "image", "audio")) -> None:
        self.modalities = modalities
        self.identity = identity
        self.dimension = 32
        self.calls = 0

    def embed_items(
        self, modality: str, items: Sequence[Text | Media], *, progress: Callable[[int], None] | None = None
    ) -> NDArray[np.float32]:
        self.calls += 1
        rows = [self._sum(item.text if isinstance(item, Text) else _read(item)) for item in items]
        return np.stack(rows).astype(np.float32)

    def _sum(self, words: str) -> NDArray[np.float64]:
        if words == "broken":
            raise MediaError("format", "not a picture")
        seeds = [int.from_bytes(hashlib.sha1(word.encode()).digest()[:4], "big") for word in words.split()]
        total = np.sum([np.random.default_rng(seed).normal(size=self.dimension) for seed in seeds], axis=0)
        return total / np.linalg.norm(total)


def _read(item: Media) -> str:
    return (item.data if item.data is not None else Path(item.path or "").read_bytes()).decode()


def write_table(path: Path, records: Sequence[Record]) -> Table:
    import json

    import lance
    import pyarrow as pa

    from chiasm.dataset.schema import FORMAT, to_arrow
    from chiasm.dataset.table import META

    dataset = lance.write_dataset(pa.Table.from_batches([to_arrow(records)]), str(path))
    dataset.update_metadata({META: json.dumps({"format": FORMAT})})
    return Table(path)


COLOURS = ("red", "green", "blue")
THINGS = ("apple", "pear", "car", "dog", "cat")


def records() -> list[Record]:
    """15 records; dogs have no picture, the blue car's is broken; the red apple also has a Chinese name."""
    made: list[Record] = []
    for colour in COLOURS:
        for thing in THINGS:
            name = f"{colour} {thing}"
            texts = [Text(name, "en", "name"), Text(f"{thing} in {colour}", "en")]
            if name == "red apple":
                texts.append(Text("红苹果", "zh", "name"))
            picture = Media(data=b"broken" if name == "blue car" else name.encode(), by="hand")
            made.append(
                Record(
                    id=name.replace(" ", "-"),
                    texts=tuple(texts),
                    image=() if thing == "dog" else (picture, Media(data=f"shiny {thing}".encode())),
                    group=thing,
                    split="test" if colour == "blue" else "train",
                )
            )
    return made
