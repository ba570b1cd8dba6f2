"""What the examples of conversion share: a small table of an embedded source, and a small model that learns tasks from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import chiasm

if TYPE_CHECKING:
    from chiasm.train.model import LoadedModel

SMALL = (
    "train.batch=16", "train.threads=1", "train.device=cpu", "model.width=64", "model.heads=2", "model.layers=2",
    "model.embedding=32", "model.image.size=32", "model.text.vocabulary=400", "model.audio.seconds=1.5",
    "model.audio.patch=16", "model.video.size=32",
)  # fmt: skip
"""A model that trains in seconds: so few steps teach it little, and the point is the path. Leave these out for your own data."""


@contextmanager
def folder() -> Iterator[Path]:
    """A folder for the example's table and run, deleted afterwards."""
    with TemporaryDirectory() as root:
        yield Path(root)


def table(root: Path, source: str, limit: int = 48, **settings: Any) -> chiasm.Dataset:
    """`chiasm build SOURCE TABLE limit=…`: everything to train on, nothing held out."""
    return chiasm.build(source, root / f"{source}.lance", limit=limit, test=0.0, validation=0.0, **settings)


def learn(
    data: chiasm.Dataset, run: Path, tasks: Mapping[str, str], steps: int = 24, settings: Sequence[str] = ()
) -> LoadedModel:
    """`chiasm train TABLE tasks.NAME={…} … --steps N --out RUN`."""
    declared = [f"tasks.{name}={task}" for name, task in tasks.items()]
    return data.train(run, steps=steps, settings=(*SMALL, *declared, *settings))


def learn_codes(data: chiasm.Dataset, run: Path, system: str, steps: int, settings: Sequence[str] = ()) -> Path:
    """`chiasm train TABLE system=image_quantizer … --steps N --out RUN`: what pictures, or sounds, are written with."""
    from chiasm.api import run_config
    from chiasm.train.run import train

    return train(run_config(data.path, [f"system={system}", *settings], steps=steps), run).run
