"""ALBEF: Align before Fuse: Vision and Language Representation Learning with Momentum Distillation (Li et al., arXiv 2107.07651).

Takes in     text; a picture as patches
Trunk        a ViT (12 layers), BERT's first 6 layers for the text, and 6 more in which the text's tokens look at the picture's (cross-attention)
Objectives   image-text contrast, before fusion, with a momentum teacher's keys and two queues + matching, against the mismatches that
             the contrast finds hardest to tell + masked words (15 %). Contrast and words learn from the teacher's soft targets too (weight
             α = 0.4, risen to over the first 30th of the run: the paper's first epoch)
Differs      the teacher follows and the queues move after an update, never in a forward pass as in the authors' code: an evaluation between
             two steps changes nothing. A text that reads the same is never taken for a mismatch. Starts fresh where the paper begins with
             DeiT and BERT; no dropout
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor

from chiasm.batches.image_views import Picture
from chiasm.batches.masking import Mask
from chiasm.batches.task import Facts, Task, Uniforms
from chiasm.batches.text_views import Caption
from chiasm.config import Fraction, Positive
from chiasm.nn.linear import Linear
from chiasm.objectives.distillation import momentum_contrast, momentum_distillation
from chiasm.objectives.masked import masked_tokens
from chiasm.objectives.matching import matching, matching_chance
from chiasm.state.queue import Queue
from chiasm.state.teacher import Teacher
from chiasm.systems.aligned import Aligned, AlignedSize, with_mismatches
from chiasm.systems.pairs import unmasked
from chiasm.systems.system import Measure, Published, Spec, System
from chiasm.types import Batch, Features, Losses


class AlbefSize(AlignedSize):
    queue: Positive = Field(default=512, description="past pictures and texts that a pair is told from")
    momentum: Fraction = Field(default=0.995, description="of the teacher")
    distillation: Fraction = Field(default=0.4, description="α, the weight of the teacher's soft targets")
    ramp: Fraction = Field(default=1 / 30, description="share of the run over which α rises from 0")


class Albef(System):
    def __init__(self, size: AlbefSize, facts: Facts) -> None:
        super().__init__()
        self.size = size
        self.trunk = Aligned(size, facts)
        self.head_matched = Linear(size.width, 2)
        self.teacher = Teacher(self.trunk)
        self.images, self.texts = Queue(size.queue, size.embedding), Queue(size.queue, size.embedding)
        self.alpha: Tensor
        self.register_buffer("alpha", torch.zeros(()))

    def losses(self, batch: Batch, dtype: torch.dtype) -> Losses:
        picture, masked, plain = batch.items["image"], batch.items["text"], unmasked(batch.items["text"])
        (image, a), (text, b) = self.trunk.see(picture, dtype), self.trunk.read(plain, dtype)
        words, target = self.trunk.fill_in(image, masked, dtype)
        with torch.no_grad():
            taught = self.teacher.module
            (seen, key_a), (_, key_b) = taught.see(picture, dtype), taught.read(plain, dtype)
            soft, _ = taught.fill_in(seen, masked, dtype)
        alpha, scale = float(self.alpha), self.trunk.scale
        to_text = momentum_contrast(a, key_a, torch.cat([key_b, self.texts.keys]), scale, alpha)
        to_image = momentum_contrast(b, key_b, torch.cat([key_a, self.images.keys]), scale, alpha)
        images, texts, matched = with_mismatches(image, text, scale * a @ b.T, plain.value, batch.labels["draw"])
        losses = {
            "contrastive": (to_text + to_image) / 2,
            "matched": matching(self._judge(images, texts), matched),
            "masked_words": momentum_distillation(masked_tokens(words, target), words, soft, alpha),
        }
        chance = {
            "contrastive": math.log(len(a) + self.size.queue), "matched": matching_chance(matched),
            "masked_words": math.log(words.shape[-1]),
        }  # fmt: skip
        return Losses(losses, chance, keys={"image": key_a, "text": key_b})

    def predict(self, batch: Batch, dtype: torch.dtype) -> Mapping[str, Tensor]:
        """Of what the batch holds: each is embedded alone, and both are judged together."""
        seen = self.trunk.see(batch.items["image"], dtype) if "image" in batch.items else None
        read = self.trunk.read(batch.items["text"], dtype) if "text" in batch.items else None
        found = {name: made[1] for name, made in (("image", seen), ("text", read)) if made is not None}
        if seen is not None and read is not None and len(seen[1]) == len(read[1]):
            found["matched"] = self._judge(seen[0], read[0])
        return found

    def _judge(self, image: Features, text: Features) -> Tensor:
        return self.head_matched(self.trunk.fuse(image, text).x[:, 0]).float()

    def advance(self, made: Losses, progress: float) -> None:
        self.teacher.follow(self.trunk, self.size.momentum)
        self.images.push(made.keys["image"])
        self.texts.push(made.keys["text"])
        self.alpha.fill_(self.size.distillation * min(1.0, progress / max(self.size.ramp, 1e-9)))

    def calibrate(self, batch: Batch) -> None:
        self.trunk.embed_image.calibrate(batch.items["image"])

    def begin(self) -> None:
        self.teacher.follow(self.trunk, 0)


def tasks(size: AlbefSize) -> tuple[Task, ...]:
    views = (Picture(size.side, augment="shift"), Caption(size.length, mask=Mask()), Uniforms("draw", 2))
    return (Task("pretraining", views),)


ALBEF = Spec(
    name="albef",
    title="ALBEF",
    paper="Li et al. 2021, arXiv 2107.07651",
    inputs=("text", "image"),
    fusion="cross-attention, text → image, after each is aligned alone",
    objectives=("contrast with a momentum teacher", "matching with hard mismatches", "masked words", "momentum distillation"),
    differs="state moves with the training loop only; starts fresh; no dropout",
    attends="patches ↔ patches; words ↔ words; in the fusion layers words ↔ words, then words → patches",
    tiny=AlbefSize(),
    published=Published(
        AlbefSize(width=768, heads=12, hidden=3072, image_layers=12, text_layers=6, fusion_layers=6, length=25, side=256, patch=16,
                  embedding=256, queue=65536),
        Facts(vocabulary=30522),
        parameters=209_500_000,
        counted=("trunk", "head"),
        note="the paper: BERT-base with cross-attention 123.7 M + ViT-B/16 85.8 M. Here positions of words end at 25, not 512 (0.4 M less), "
        "those of patches are for pictures of 256 pixels, and the heads for contrast, matching and words are counted",
    ),
    tasks=tasks,
    make=Albef,
    measure=Measure("retrieval", "image-text", lambda size: Task("retrieval", (Picture(size.side), Caption(size.length)))),
    heads=("head", "trunk.head"),
    in_batch=True,
)  # fmt: skip
