"""The drawn scenes with a label, and small sizes of the systems that look at pictures alone or beside a caption."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from pair_cases import Scenes

from chiasm.config import BuildConfig, SystemRunConfig, load_config
from chiasm.dataset.build import build
from chiasm.train.distributed import World
from chiasm.train.named import SystemJob
from chiasm.types import Label, Record

RESNET = {"side": 16, "depths": [1, 1], "channels": 8}
VIT = {"side": 16, "patch": 8, "width": 32, "heads": 2, "layers": 1, "hidden": 64}
SMALL: dict[str, dict[str, Any]] = {
    "resnet": RESNET,
    "vit": VIT,
    "detr": {**RESNET, "side": 32, "width": 32, "heads": 2, "layers": 2, "hidden": 32, "queries": 5},
    "simclr": {**RESNET, "projection": 16},
    "moco": {**RESNET, **VIT, "projection": 16, "inner": 32, "queue": 40},
    "clip": {
        **VIT,
        "length": 24,
        "text_width": 24,
        "text_heads": 2,
        "text_layers": 1,
        "text_hidden": 48,
        "embedding": 16,
    },
    "siglip": {**VIT, "length": 24},
}


class Labelled(Scenes):
    """The same, with the colour of the first square as label."""

    def records(self) -> Iterator[Record]:
        for record in super().records():
            yield replace(record, labels=(Label("first", record.boxes[0].label),))


def make_labelled(folder: Path) -> Path:
    return build(Labelled(), folder / "labelled.lance", BuildConfig(validation=0.2, test=0.05, workers=1)).path


def make_job(system: str, table: Path, folder: Path, **change: Any) -> SystemJob:
    base = {
        "system": system,
        "change": {**SMALL[system], **change},
        "data": {"table": str(table), "vocabulary": 300, "label": "first"},
        "train": {"batch": 16, "steps": 40, "precision": "fp32"},
    }
    config = load_config(SystemRunConfig, base=base)
    job = SystemJob(config, folder, World(), torch.device("cpu"), torch.float32, None, None)
    job.calibrate(torch.device("cpu"))
    return job
