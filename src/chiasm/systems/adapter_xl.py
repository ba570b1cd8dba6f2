"""AdapterXL: adapters tuned for each modality on a frozen trunk.

No paper of this name is known; what is built here is what its one description says, "trainable adapter layers tuned for each modality", out
of Houlsby's adapters (Houlsby et al., arXiv 1902.00751).

Takes in     a picture and a question about it
Trunk        one Transformer, frozen: that of a run given to begin with (init), e.g. a `vit` of the same shape, else as it was drawn. In every
             block two bottlenecks after attention and after the feed-forward part, residual, starting as the identity, of its own for each modality
Objectives   the task's own: the answer to the question, among the known ones
Differs      from Houlsby: an adapter a modality, not a task; patches' and words' embeddings are trained too, as a trunk that has not seen a
             modality has no way in for it. Any other system gets adapters by `adapters:` in its configuration
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor

from chiasm.batches.image_views import Picture
from chiasm.batches.task import Facts, Task
from chiasm.batches.text_views import Asked
from chiasm.config import Positive, Section
from chiasm.fusion.multiway import Multiway
from chiasm.modalities.embed import ImageEmbedder, TextEmbedder
from chiasm.nn.adapters import adapt
from chiasm.nn.linear import Linear
from chiasm.objectives.matching import answer_class
from chiasm.systems.system import Measure, Published, Spec, System
from chiasm.types import Batch, Losses


class AdapterXlSize(Section):
    width: Positive = 128
    heads: Positive = 4
    layers: Positive = 4
    length: Positive = 32
    side: Positive = Field(default=48, description="pixels of a picture's sides")
    patch: Positive = 8
    bottleneck: Positive = Field(default=64, description="values in the middle of an adapter (Houlsby: 8, 64 or 256)")


class AdapterXl(System):
    def __init__(self, size: AdapterXlSize, facts: Facts) -> None:
        super().__init__()
        self.embed_image = ImageEmbedder(size.side, size.patch, size.width, class_token=True)
        self.embed_text = TextEmbedder(facts.vocabulary, size.length, size.width)
        self.trunk = Multiway(("image", "text"), size.width, size.heads, size.layers)
        adapt(self.trunk, "houlsby", size.bottleneck)
        self.head_answer = Linear(size.width, len(facts.answers))

    def losses(self, batch: Batch, dtype: torch.dtype) -> Losses:
        answer = self.predict(batch, dtype)["answer"]
        return Losses({"answer": answer_class(answer, batch.labels["answer"])}, {"answer": math.log(answer.shape[-1])})

    def predict(self, batch: Batch, dtype: torch.dtype) -> Mapping[str, Tensor]:
        image, text = self.embed_image(batch.items["image"], dtype), self.embed_text(batch.items["text"], dtype)
        joint = self.trunk({"image": image, "text": text}).joint
        return {"answer": self.head_answer(joint).float(), "features": joint.float()}

    def calibrate(self, batch: Batch) -> None:
        self.embed_image.calibrate(batch.items["image"])


def tasks(size: AdapterXlSize) -> tuple[Task, ...]:
    return (Task("answering", (Asked(size.length), Picture(size.side))),)


ADAPTER_XL = Spec(
    name="adapter_xl",
    title="AdapterXL",
    paper="none; after Houlsby et al. 2019, arXiv 1902.00751",
    inputs=("text", "image"),
    fusion="early, in a frozen trunk with adapters of each modality",
    objectives=("answer",),
    differs="built from a one-line description; an adapter a modality instead of a task",
    attends="every patch and word ↔ every patch and word; each modality through its own adapters",
    tiny=AdapterXlSize(),
    published=Published(
        AdapterXlSize(width=768, heads=12, layers=12, length=77, side=224, patch=16, bottleneck=64),
        Facts(vocabulary=30522, answers=tuple(f"answer {n}" for n in range(3129))),
        note="there is no published model; this is a trunk of BERT-base's shape with adapters of 64 and VQA's 3,129 answers",
    ),
    tasks=tasks,
    make=AdapterXl,
    measure=Measure("label", "answer", lambda size: tasks(size)[0]),
)
