"""The picture encoders that several systems have: a ResNet and a Vision Transformer, from the picture's pixels to features."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from chiasm.config import Positive, Section
from chiasm.modalities.embed import ImageEmbedder
from chiasm.nn.resnet import ResNet
from chiasm.nn.transformer import make_transformer
from chiasm.objectives.masked import masked_tokens
from chiasm.types import Batch, Items, Losses


class ResNetSize(Section):
    """A ResNet; the defaults are for pictures of 32 pixels. The published one is `RESNET50`."""

    side: Positive = Field(default=32, description="pixels of a picture's sides")
    depths: Annotated[tuple[Positive, ...], Field(min_length=1, max_length=6)] = Field(
        default=(1, 1, 1), description="units a stage; every stage but the first halves the map and doubles the channels"
    )
    bottleneck: bool = False
    channels: Positive = Field(default=32, description="of the first stage")
    stem: Literal["imagenet", "cifar"] = Field(
        default="cifar", description="imagenet: 7 × 7 and pooling, a map 4 times smaller; cifar: 3 × 3, none"
    )


RESNET50 = {"side": 224, "depths": (3, 4, 6, 3), "bottleneck": True, "channels": 64, "stem": "imagenet"}


class ViTSize(Section):
    side: Positive = Field(default=32, description="pixels of a picture's sides")
    patch: Positive = 4
    width: Positive = 128
    heads: Positive = 4
    layers: Positive = 4
    hidden: Positive = 512


VIT_BASE = {"side": 224, "patch": 16, "width": 768, "heads": 12, "layers": 12, "hidden": 3072}


class ResNetEncoder(ResNet):
    """Items → the mean of the feature map [I, C]."""

    def __init__(self, size: ResNetSize) -> None:
        super().__init__(size.depths, size.bottleneck, size.channels, size.stem)

    def map(self, items: Items, dtype: torch.dtype) -> Tensor:
        """[I, C, h, w]."""
        return super().forward(items.value.permute(0, 3, 1, 2), dtype)

    def forward(self, items: Items, dtype: torch.dtype) -> Tensor:  # type: ignore[override]
        return self.pool(self.map(items, dtype))


class ViTEncoder(nn.Module):
    """Items → the class token's feature [I, D]. Pre-norm, learned positions (arXiv 2010.11929, 3.1)."""

    def __init__(self, size: ViTSize) -> None:
        super().__init__()
        self.channels = size.width
        self.embed = ImageEmbedder(size.side, size.patch, size.width, class_token=True)
        self.transformer = make_transformer(
            {"image": size.layers}, width=size.width, heads=size.heads, hidden=size.hidden, eps=1e-12
        )

    def forward(self, items: Items, dtype: torch.dtype) -> Tensor:
        return self.transformer(self.embed(items, dtype)).x[:, 0]


def classified(logits: Tensor, batch: Batch) -> Losses:
    """Cross-entropy of the records' classes. logits: [B, C]."""
    return Losses({"class": masked_tokens(logits, batch.labels["class"])}, {"class": math.log(logits.shape[-1])})
