"""ResNet: Deep Residual Learning for Image Recognition (He et al., arXiv 1512.03385).

Takes in     a picture
Trunk        convolutions with residual connections and batch normalisation, mean over the last map
Objectives   cross-entropy of the record's class
Differs      bottlenecks stride in their 3 × 3 convolution ("v1.5", as the public weights do); crops are milder on small pictures
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from chiasm.batches.image_views import ClassLabel, Picture
from chiasm.batches.task import Facts, Task
from chiasm.nn.linear import Linear
from chiasm.systems.encoders import RESNET50, ResNetEncoder, ResNetSize, classified
from chiasm.systems.system import Measure, Published, Spec, System
from chiasm.types import Batch, Losses


class ResNetClassifier(System):
    def __init__(self, size: ResNetSize, facts: Facts) -> None:
        super().__init__()
        self.trunk = ResNetEncoder(size)
        self.head = Linear(self.trunk.channels, len(facts.classes))

    def losses(self, batch: Batch, dtype: torch.dtype) -> Losses:
        return classified(self.predict(batch, dtype)["class"], batch)

    def predict(self, batch: Batch, dtype: torch.dtype) -> Mapping[str, Tensor]:
        features = self.trunk(batch.items["image"], dtype)
        return {"class": self.head(features).float(), "features": features.float()}


def tasks(size: ResNetSize) -> tuple[Task, ...]:
    return (Task("classification", (Picture(size.side, augment="crop_flip"), ClassLabel())),)


RESNET = Spec(
    name="resnet",
    title="ResNet",
    paper="He et al. 2015, arXiv 1512.03385",
    inputs=("image",),
    fusion="none",
    objectives=("class",),
    differs="bottlenecks stride in their 3 × 3 convolution",
    attends="every pixel ↔ its neighbours, in ever smaller maps; no attention",
    tiny=ResNetSize(),
    published=Published(
        ResNetSize.model_validate(RESNET50),
        Facts(vocabulary=0, classes=tuple(map(str, range(1000)))),
        parameters=25_557_032,
        note="ResNet-50 with its head for 1,000 classes",
    ),
    tasks=tasks,
    make=ResNetClassifier,
    measure=Measure("label", "class", lambda size: tasks(size)[0]),
)
