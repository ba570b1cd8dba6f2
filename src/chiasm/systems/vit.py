"""ViT: An Image is Worth 16x16 Words (Dosovitskiy et al., arXiv 2010.11929).

Takes in     a picture, as patches after a class token
Trunk        Transformer encoder, pre-norm, learned positions
Objectives   cross-entropy of the record's class
Differs      no dropout; inputs are standardised by the data's own mean patch; the head is one linear layer, as in the public weights
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from chiasm.batches.image_views import ClassLabel, Picture
from chiasm.batches.task import Facts, Task
from chiasm.nn.linear import Linear
from chiasm.systems.encoders import VIT_BASE, ViTEncoder, ViTSize, classified
from chiasm.systems.system import Measure, Published, Spec, System
from chiasm.types import Batch, Losses


class ViT(System):
    def __init__(self, size: ViTSize, facts: Facts) -> None:
        super().__init__()
        self.trunk = ViTEncoder(size)
        self.head = Linear(size.width, len(facts.classes))

    def losses(self, batch: Batch, dtype: torch.dtype) -> Losses:
        return classified(self.predict(batch, dtype)["class"], batch)

    def predict(self, batch: Batch, dtype: torch.dtype) -> Mapping[str, Tensor]:
        features = self.trunk(batch.items["image"], dtype)
        return {"class": self.head(features).float(), "features": features.float()}

    def calibrate(self, batch: Batch) -> None:
        self.trunk.embed.calibrate(batch.items["image"])


def tasks(size: ViTSize) -> tuple[Task, ...]:
    return (Task("classification", (Picture(size.side, augment="crop_flip"), ClassLabel())),)


VIT = Spec(
    name="vit",
    title="ViT",
    paper="Dosovitskiy et al. 2020, arXiv 2010.11929",
    inputs=("image",),
    fusion="none",
    objectives=("class",),
    differs="no dropout; inputs standardised by the data's own mean patch",
    attends="class token and patches ↔ class token and patches",
    tiny=ViTSize(),
    published=Published(
        ViTSize.model_validate(VIT_BASE),
        Facts(vocabulary=0, classes=tuple(map(str, range(1000)))),
        parameters=86_567_656,
        note="ViT-B/16 at 224 pixels with its head for 1,000 classes",
    ),
    tasks=tasks,
    make=ViT,
    measure=Measure("label", "class", lambda size: tasks(size)[0]),
)
