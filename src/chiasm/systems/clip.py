"""CLIP: Learning Transferable Visual Models From Natural Language Supervision (Radford et al., arXiv 2103.00020).

Takes in     a picture and its caption
Trunk        two encoders: a Vision Transformer with a norm before its blocks, and a causal text Transformer; both pre-norm, quick GELU
Fusion       none but the loss: class token and <eos>, each projected linearly to unit length
Objectives   symmetric InfoNCE over the batch, learned temperature, its inverse at most 100
Differs      byte-level BPE of the data set; pictures are moved and tinted a little instead of cropped, so that a caption stays true
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from chiasm.batches.image_views import Picture
from chiasm.batches.task import Facts, Task
from chiasm.batches.text_views import Caption
from chiasm.config import Positive
from chiasm.modalities.embed import ImageEmbedder, TextEmbedder
from chiasm.nn.linear import Linear
from chiasm.nn.transformer import make_transformer
from chiasm.objectives.contrastive import info_nce
from chiasm.systems.encoders import ViTSize
from chiasm.systems.system import Measure, Published, Spec, System
from chiasm.types import Batch, Losses

MEAN, DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
"""Of red, green and blue, as shares of 255, in the public weights."""
MAX_SCALE = 100.0


class ClipSize(ViTSize):
    side: Positive = 48
    layers: Positive = 3
    length: Positive = 48
    text_width: Positive = 128
    text_heads: Positive = 4
    text_layers: Positive = 3
    text_hidden: Positive = 256
    embedding: Positive = 128


class Clip(System):
    def __init__(self, size: ClipSize, facts: Facts) -> None:
        super().__init__()
        self.embed_image = ImageEmbedder(size.side, size.patch, size.width, class_token=True, bias=False, norm=1e-5)
        self.embed_image.standardise(MEAN, DEVIATION)
        self.trunk_image = make_transformer(
            {"image": size.layers}, width=size.width, heads=size.heads, hidden=size.hidden, activation="quick_gelu"
        )
        self.head_image = Linear(size.width, size.embedding, bias=False)
        self.embed_text = TextEmbedder(facts.vocabulary, size.length, size.text_width)
        self.trunk_text = make_transformer(
            {"text": size.text_layers}, width=size.text_width, heads=size.text_heads, hidden=size.text_hidden,
            activation="quick_gelu", causal=True,
        )  # fmt: skip
        self.head_text = Linear(size.text_width, size.embedding, bias=False)
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def losses(self, batch: Batch, dtype: torch.dtype) -> Losses:
        found = self.predict(batch, dtype)
        scale = self.log_scale.exp().clamp(max=MAX_SCALE)
        loss = info_nce(found["text"], found["image"], batch.identity, batch.identity, scale)
        return Losses({"text_image": loss}, {"text_image": math.log(len(batch.ids))})

    def predict(self, batch: Batch, dtype: torch.dtype) -> Mapping[str, Tensor]:
        """Of what the batch holds: each is embedded alone."""
        found: dict[str, Tensor] = {}
        if "text" in batch.items:
            text = batch.items["text"]
            words = self.trunk_text(self.embed_text(text, dtype)).x
            # <eos> is the last token, and in a causal trunk the one that has seen them all.
            last = words[torch.arange(len(words), device=words.device), text.valid.sum(1) - 1]
            found["text"] = F.normalize(self.head_text(last).float(), dim=-1)
        if "image" in batch.items:
            first = self.trunk_image(self.embed_image(batch.items["image"], dtype)).x[:, 0]
            found["image"] = F.normalize(self.head_image(first).float(), dim=-1)
        return found

    def calibrate(self, batch: Batch) -> None:
        self.embed_image.calibrate(batch.items["image"])


def tasks(size: ClipSize) -> tuple[Task, ...]:
    return (Task("contrast", (Caption(size.length), Picture(size.side, augment="shift"))),)


CLIP = Spec(
    name="clip",
    title="CLIP",
    paper="Radford et al. 2021, arXiv 2103.00020",
    inputs=("text", "image"),
    fusion="none (dual encoder)",
    objectives=("contrast of text and picture (InfoNCE)",),
    differs="byte-level BPE of the data set; pictures moved and tinted a little instead of cropped",
    attends="class token and patches ↔ class token and patches\nevery word → itself and the words before it\ntext and picture meet in the loss only",
    tiny=ClipSize(),
    published=Published(
        ClipSize(
            side=224, patch=32, width=768, heads=12, layers=12, hidden=3072, length=77, text_width=512, text_heads=8,
            text_layers=12, text_hidden=2048, embedding=512,
        ),
        Facts(vocabulary=49408),
        parameters=151_277_313,
        note="CLIP ViT-B/32",
    ),
    tasks=tasks,
    make=Clip,
    measure=Measure("retrieval", "text-image", lambda size: tasks(size)[0]),
    heads=("head", "log_scale"),
    in_batch=True,
    info_nce=lambda _: ("text_image",),
)  # fmt: skip
