"""SigLIP: Sigmoid Loss for Language Image Pre-Training (Zhai et al., arXiv 2303.15343).

Takes in     a picture and its caption
Trunk        two encoders: a Vision Transformer without class token, and a text Transformer that sees all its tokens; both pre-norm
Fusion       none but the loss: a learned query looks at the patches; the text's last place, padding included, is projected linearly
Objectives   every pair of the batch is a yes-or-no question; learned temperature (1/10 at first) and bias (−10 at first)
Differs      byte-level BPE of the data set; pictures are moved and tinted a little, so that a caption stays true
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from chiasm.batches.image_views import Picture
from chiasm.batches.task import Facts, Task
from chiasm.batches.text_views import Caption
from chiasm.config import Positive
from chiasm.heads.attention_pool import AttentionPool
from chiasm.modalities.embed import ImageEmbedder, TextEmbedder
from chiasm.modalities.text import PAD
from chiasm.nn.linear import Linear
from chiasm.nn.transformer import make_transformer
from chiasm.objectives.contrastive import sigmoid
from chiasm.systems.encoders import VIT_BASE, ViTSize
from chiasm.systems.system import Measure, Published, Spec, System
from chiasm.types import Batch, Items, Losses


class SiglipSize(ViTSize):
    """Both encoders have one width, that of the embeddings."""

    side: Positive = 48
    layers: Positive = 3
    length: Positive = 40


class Siglip(System):
    def __init__(self, size: SiglipSize, facts: Facts) -> None:
        super().__init__()
        self.length = size.length
        self.embed_image = ImageEmbedder(size.side, size.patch, size.width)
        self.embed_text = TextEmbedder(facts.vocabulary, size.length, size.width)
        self.trunk_image, self.trunk_text = (
            make_transformer(
                {name: size.layers}, width=size.width, heads=size.heads, hidden=size.hidden, activation="gelu_tanh",
                eps=1e-6,
            )
            for name in ("image", "text")
        )  # fmt: skip
        self.head_image = AttentionPool(size.width, size.heads, size.hidden)
        self.head_text = Linear(size.width, size.width)
        self.log_scale = nn.Parameter(torch.tensor(math.log(10.0)))
        self.bias = nn.Parameter(torch.tensor(-10.0))

    def losses(self, batch: Batch, dtype: torch.dtype) -> Losses:
        found, same = self.predict(batch, dtype), batch.identity
        loss = sigmoid(found["text"], found["image"], same, same, self.log_scale.exp(), self.bias)
        n = len(batch.ids)
        # What the best constant logit gives: an item has one partner among n, and −ln σ of it and of the n − 1 others add up.
        chance = math.log(n) + (n - 1) * math.log(n / max(n - 1, 1))
        return Losses({"text_image": loss}, {"text_image": chance})

    def predict(self, batch: Batch, dtype: torch.dtype) -> Mapping[str, Tensor]:
        """Of what the batch holds: each is embedded alone."""
        found: dict[str, Tensor] = {}
        if "text" in batch.items:
            words = self.trunk_text(self.embed_text(self._padded(batch.items["text"]), dtype)).x[:, -1]
            found["text"] = F.normalize(self.head_text(words).float(), dim=-1)
        if "image" in batch.items:
            patches = self.trunk_image(self.embed_image(batch.items["image"], dtype))
            found["image"] = F.normalize(self.head_image(patches).float(), dim=-1)
        return found

    def calibrate(self, batch: Batch) -> None:
        self.embed_image.calibrate(batch.items["image"])

    def _padded(self, text: Items) -> Items:
        """Padded to the full length, and padding is seen like any word, as in the public weights."""
        value = F.pad(text.value, (0, self.length - text.value.shape[1]), value=PAD)
        return replace(text, value=value, valid=torch.ones_like(value, dtype=torch.bool))


def tasks(size: SiglipSize) -> tuple[Task, ...]:
    return (Task("contrast", (Caption(size.length), Picture(size.side, augment="shift"))),)


SIGLIP = Spec(
    name="siglip",
    title="SigLIP",
    paper="Zhai et al. 2023, arXiv 2303.15343",
    inputs=("text", "image"),
    fusion="none (dual encoder)",
    objectives=("contrast of text and picture (sigmoid)",),
    differs="byte-level BPE of the data set; pictures moved and tinted a little",
    attends="patches ↔ patches\na learned query → patches\nwords and padding ↔ words and padding\ntext and picture meet in the loss only",
    tiny=SiglipSize(),
    published=Published(
        SiglipSize.model_validate({**VIT_BASE, "length": 64}),
        Facts(vocabulary=32000),
        parameters=203_155_970,
        note="SigLIP ViT-B/16 at 224 pixels",
    ),
    tasks=tasks,
    make=Siglip,
    measure=Measure("retrieval", "text-image", lambda size: tasks(size)[0]),
    heads=("head", "log_scale", "bias"),
    in_batch=True,
)
