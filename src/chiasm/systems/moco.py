"""MoCo v1, v2, v3: Momentum Contrast (He et al., arXiv 1911.05722; Chen et al., arXiv 2003.04297; Chen et al., arXiv 2104.02057).

Takes in     two augmented views of a picture
Trunk        v1, v2: ResNet · v3: Vision Transformer whose patch projection and positions stay as they began; and a teacher, which follows it slowly
Objectives   v1, v2: a view finds its partner, as the teacher sees it, among a queue of older ones · v3: among the batch's, both ways
Versions     v1: linear head, T 0.07 · v2: MLP head, blur, T 0.2 · v3: no queue, three-layer head and a predictor, momentum that rises to 1, T 0.2
Differs      the teacher normalises by running statistics, so nothing needs shuffling across GPUs (arXiv 1911.05722, 3.3); AdamW
             and Muon in place of SGD and LARS; v3's two views have one recipe. Teacher and queue move in `advance` only
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from chiasm.batches.image_views import ClassLabel, Picture, TwoPictures
from chiasm.batches.task import Facts, Task
from chiasm.config import Fraction, Positive
from chiasm.heads.mlp import MLP
from chiasm.objectives.self_supervised import queue_contrastive, symmetric_query_key, symmetric_query_key_chance
from chiasm.state.queue import Queue
from chiasm.state.teacher import Teacher
from chiasm.systems.encoders import RESNET50, VIT_BASE, ResNetEncoder, ResNetSize, ViTEncoder, ViTSize
from chiasm.systems.system import Measure, Published, Spec, System
from chiasm.types import Batch, Items, Losses


class Version(NamedTuple):
    temperature: float
    recipe: Literal["moco_v1", "moco_v2"]


VERSIONS = {1: Version(0.07, "moco_v1"), 2: Version(0.2, "moco_v2"), 3: Version(0.2, "moco_v2")}


class MoCoSize(ResNetSize, ViTSize):
    """v3 reads the numbers of the Vision Transformer, v1 and v2 those of the ResNet."""

    version: Literal[1, 2, 3] = 2
    projection: Positive = 128
    inner: Positive = 512
    """Width inside v3's head and predictor."""
    queue: Positive = 1024
    momentum: Fraction = 0.99


class MoCo(System):
    def __init__(self, size: MoCoSize, facts: Facts) -> None:
        super().__init__()
        self.version, self.temperature, self.momentum = size.version, VERSIONS[size.version].temperature, size.momentum
        self.trunk = ViTEncoder(size) if size.version == 3 else ResNetEncoder(size)
        C, E = self.trunk.channels, size.projection
        if isinstance(self.trunk, ViTEncoder):
            self.trunk.freeze_front()
            self.head = MLP((C, size.inner, size.inner, E), norm=True, last_norm=True)
            self.head_predict = MLP((E, size.inner, E), norm=True, last_norm=True)
        else:
            self.head = MLP((C, E) if size.version == 1 else (C, C, E))
            self.queue = Queue(size.queue, E)
        self.teacher_trunk, self.teacher_head = Teacher(self.trunk), Teacher(self.head)

    def losses(self, batch: Batch, dtype: torch.dtype) -> Losses:
        one, two = batch.items["image"], batch.items["image2"]
        if self.version == 3:
            q1, q2 = (F.normalize(self.head_predict(self._student(v, dtype)).float(), dim=-1) for v in (one, two))
            k1, k2 = self._key(one, dtype), self._key(two, dtype)
            loss = symmetric_query_key(q1, q2, k1, k2, self.temperature)
            return Losses({"contrast": loss}, {"contrast": symmetric_query_key_chance(len(k1), self.temperature)})
        query, key = F.normalize(self._student(one, dtype).float(), dim=-1), self._key(two, dtype)
        loss = queue_contrastive(query, key, self.queue.keys, self.temperature)
        return Losses({"contrast": loss}, {"contrast": math.log(len(self.queue.keys) + 1)}, {"queue": key})

    def advance(self, made: Losses, progress: float) -> None:
        m = self.momentum
        if self.version == 3:
            m = 1 - (1 - m) * 0.5 * (1 + math.cos(math.pi * progress))  # arXiv 2104.02057, 4.1
        else:
            self.queue.push(made.keys["queue"])
        self.teacher_trunk.follow(self.trunk, m)
        self.teacher_head.follow(self.head, m)

    def predict(self, batch: Batch, dtype: torch.dtype) -> Mapping[str, Tensor]:
        return {"features": self.trunk(batch.items["image"], dtype).float()}

    def _student(self, items: Items, dtype: torch.dtype) -> Tensor:
        return self.head(self.trunk(items, dtype))

    def _key(self, items: Items, dtype: torch.dtype) -> Tensor:
        return F.normalize(self.teacher_head(self.teacher_trunk(items, dtype)).float(), dim=-1)

    def calibrate(self, batch: Batch) -> None:
        front = self.trunk.embed if isinstance(self.trunk, ViTEncoder) else self.trunk
        front.calibrate(batch.items["image"])

    def begin(self) -> None:
        self.teacher_trunk.follow(self.trunk, 0)
        self.teacher_head.follow(self.head, 0)


def tasks(size: MoCoSize) -> tuple[Task, ...]:
    return (Task("pretraining", (TwoPictures(size.side, VERSIONS[size.version].recipe),)),)


MOCO = Spec(
    name="moco",
    title="MoCo v1, v2, v3",
    paper="He et al. 2019, arXiv 1911.05722; Chen et al. 2020, arXiv 2003.04297; Chen et al. 2021, arXiv 2104.02057",
    inputs=("image",),
    fusion="none",
    objectives=("contrast of two views, one seen by a momentum teacher",),
    differs="the teacher normalises by running statistics; AdamW and Muon in place of SGD and LARS",
    attends="v1, v2: no attention; in the loss a view ↔ the teacher's views in the queue\nv3: class token and patches ↔ class token and patches",
    tiny=MoCoSize(),
    published=Published(
        MoCoSize(**{**VIT_BASE, **RESNET50}, inner=4096, queue=65_536, momentum=0.999),
        Facts(vocabulary=0),
        parameters=24_000_000,
        counted=("trunk",),
        note="v2; the paper rounds ResNet-50 without its classifier to 24 million; exactly 23,508,032",
    ),
    tasks=tasks,
    make=MoCo,
    measure=Measure("probe", "class", lambda size: Task("probe", (Picture(size.side), ClassLabel()))),
    # v3 compares the records of a batch. v1 and v2 compare with the queue, but batch normalisation sees the batch, and what a process or a
    # chunk pushes would be its own keys only: the queues of processes would drift apart.
    in_batch=True,
    # v3 multiplies its loss by 2τ for each of two directions: no longer nats.
    info_nce=lambda size: ("contrast",) if size.version < 3 else (),
)
