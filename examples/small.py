"""What the examples of conversion share: a small table, a small model that learns tasks from it, and how good it is."""

from __future__ import annotations

import json
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


def table(root: Path, source: str, limit: int = 48, name: str | None = None, **settings: Any) -> chiasm.Dataset:
    """`chiasm build SOURCE TABLE limit=…`: everything to train on, nothing held out."""
    settings = {"test": 0.0, "validation": 0.0} | settings
    return chiasm.build(source, root / f"{name or source}.lance", limit=limit, **settings)


def own(root: Path, name: str, rows: Sequence[Mapping[str, Any]]) -> chiasm.Dataset:
    """`chiasm build FOLDER TABLE`: data of your own, a row of the manifest a record; every fifth is held out."""
    folder = root / name
    folder.mkdir(exist_ok=True)
    told = [{**row, "split": "train" if number % 5 else "test"} for number, row in enumerate(rows)]
    (folder / "manifest.jsonl").write_text("\n".join(json.dumps(row) for row in told), encoding="utf8")
    return chiasm.build(folder, root / f"{name}.lance")


def held_out(data: chiasm.Dataset, count: int) -> list[chiasm.Record]:
    """Records of the test split, evenly spread."""
    rows = data.rows("split = 'test'")
    return data.records(rows[:: max(1, len(rows) // count)][:count])


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


def measure(model: LoadedModel, figures: Mapping[str, str]) -> None:
    """`chiasm evaluate RUN TABLE`: of each task the figure that is named, on what training never saw, beside what simple means come to."""
    from chiasm.evaluate.conversion.tasks import evaluate_conversion
    from chiasm.train.converting import ConvertingModel

    assert isinstance(model, ConvertingModel)
    found = evaluate_conversion(model, splits=["test"], tasks=list(figures), most=40).to_json()
    for task, figure in figures.items():
        test = found[task]["splits"]["test"]
        simple = [f"{name} {scores[figure]['value']:.2f}" for name, scores in test["baselines"].items()]
        beside = f" ({', '.join(simple)})" if simple else ""
        print(f"{task}: {figure} {test['metrics'][figure]['value']:.2f} of {test['n']} held out{beside}")
