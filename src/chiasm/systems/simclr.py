"""SimCLR: A Simple Framework for Contrastive Learning of Visual Representations (Chen et al., arXiv 2002.05709).

Takes in     two augmented views of a picture
Trunk        one ResNet for both, then a projection head that is thrown away; what is used is the trunk's feature
Objectives   NT-Xent: each view finds its partner among the 2N − 1 others of the batch
Differs      AdamW (Muon for the head's matrices) in place of LARS; hue turns in YIQ; the tiny size has the paper's CIFAR recipe (B.9: no blur, T 0.5)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from chiasm.batches.image_views import ClassLabel, Picture, TwoPictures
from chiasm.batches.task import Facts, Task
from chiasm.config import Positive
from chiasm.heads.mlp import MLP
from chiasm.objectives.self_supervised import nt_xent, nt_xent_chance
from chiasm.systems.encoders import RESNET50, ResNetEncoder, ResNetSize
from chiasm.systems.system import Measure, Published, Spec, System
from chiasm.types import Batch, Losses


class SimCLRSize(ResNetSize):
    projection: Positive = 128
    temperature: Annotated[float, Field(gt=0)] = 0.5
    recipe: Literal["simclr", "cifar"] = "cifar"


class SimCLR(System):
    def __init__(self, size: SimCLRSize, facts: Facts) -> None:
        super().__init__()
        self.temperature = size.temperature
        self.trunk = ResNetEncoder(size)
        self.head = MLP((self.trunk.channels, self.trunk.channels, size.projection), norm=True)

    def losses(self, batch: Batch, dtype: torch.dtype) -> Losses:
        one, two = (
            F.normalize(self.head(self.trunk(batch.items[role], dtype)).float(), dim=-1) for role in ("image", "image2")
        )
        return Losses({"contrast": nt_xent(one, two, self.temperature)}, {"contrast": nt_xent_chance(len(one))})

    def predict(self, batch: Batch, dtype: torch.dtype) -> Mapping[str, Tensor]:
        return {"features": self.trunk(batch.items["image"], dtype).float()}

    def calibrate(self, batch: Batch) -> None:
        self.trunk.calibrate(batch.items["image"])


def tasks(size: SimCLRSize) -> tuple[Task, ...]:
    return (Task("pretraining", (TwoPictures(size.side, size.recipe),)),)


SIMCLR = Spec(
    name="simclr",
    title="SimCLR",
    paper="Chen et al. 2020, arXiv 2002.05709",
    inputs=("image",),
    fusion="none",
    objectives=("contrast of two views (NT-Xent)",),
    differs="AdamW and Muon in place of LARS",
    attends="no attention; in the loss every view of the batch ↔ every other",
    tiny=SimCLRSize(),
    published=Published(
        SimCLRSize(**RESNET50, temperature=0.1, recipe="simclr"),
        Facts(vocabulary=0),
        parameters=24_000_000,
        counted=("trunk",),
        note="the paper rounds ResNet-50 (1×) without its classifier to 24 million; exactly 23,508,032",
    ),
    tasks=tasks,
    make=SimCLR,
    measure=Measure("probe", "class", lambda size: Task("probe", (Picture(size.side), ClassLabel()))),
    in_batch=True,
    info_nce=lambda _: ("contrast",),
)
