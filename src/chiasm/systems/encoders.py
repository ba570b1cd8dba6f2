"""The picture encoders that several systems have: a ResNet and a Vision Transformer, from the picture's pixels to features."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from chiasm.config import Positive, Section
from chiasm.modalities.embed import ImageEmbedder
from chiasm.nn.positions import sinusoidal_2d
from chiasm.nn.resnet import ResNet
from chiasm.nn.transformer import make_transformer
from chiasm.objectives.masked import masked_tokens
from chiasm.types import Batch, Items, Losses


class ResNetSize(Section):
    """A ResNet; the defaults train in minutes on one core, where the cifar stem learns less in equal time, on 32 pixels too."""

    side: Positive = Field(default=32, description="pixels of a picture's sides")
    depths: Annotated[tuple[Positive, ...], Field(min_length=1, max_length=6)] = Field(
        default=(1, 1, 1),
        description="units a stage; every stage but the first halves the map and doubles the channels",
    )
    bottleneck: bool = False
    channels: Positive = Field(default=64, description="of the first stage")
    stem: Literal["imagenet", "cifar"] = Field(
        default="imagenet", description="imagenet: 7 × 7 and pooling, a map 4 times smaller; cifar: 3 × 3, none"
    )


RESNET50: dict[str, Any] = {"side": 224, "depths": (3, 4, 6, 3), "bottleneck": True, "channels": 64, "stem": "imagenet"}


class ViTSize(Section):
    side: Positive = Field(default=32, description="pixels of a picture's sides")
    patch: Positive = 8
    width: Positive = 128
    heads: Positive = 4
    layers: Positive = 4
    hidden: Positive = 256


VIT_BASE: dict[str, Any] = {"side": 224, "patch": 16, "width": 768, "heads": 12, "layers": 12, "hidden": 3072}


CALIBRATED = 128
"""Pictures that are enough for the statistics of a map."""


class ResNetEncoder(ResNet):
    """Items → the mean of the feature map [I, C]."""

    def __init__(self, size: ResNetSize) -> None:
        super().__init__(size.depths, size.bottleneck, size.channels, size.stem)

    def map(self, items: Items, dtype: torch.dtype) -> Tensor:
        """[I, C, h, w]."""
        return super().forward(items.value.permute(0, 3, 1, 2), dtype)

    def forward(self, items: Items, dtype: torch.dtype) -> Tensor:  # type: ignore[override]
        return self.pool(self.map(items, dtype))

    @torch.no_grad()
    def calibrate(self, items: Items) -> None:
        """Batch normalisation's running statistics begin as those of these pictures: a teacher that runs on them from the first step, and an
        untrained encoder that is measured, would see 0 and 1 else."""
        norms, training = [m for m in self.modules() if isinstance(m, nn.BatchNorm2d)], self.training
        self.train()
        for norm in norms:
            norm.momentum = 1.0
        self.map(replace(items, value=items.value[:CALIBRATED]), torch.float32)
        for norm in norms:
            norm.momentum = 0.1
        self.train(training)


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

    @torch.no_grad()
    def freeze_front(self) -> None:
        """A random patch projection and sinusoidal positions, never trained: it steadies contrast (MoCo v3, arXiv 2104.02057, 4.2)."""
        patches, cells = self.embed.embed, self.embed.size // self.embed.patch
        patches.positions[0].zero_()
        patches.positions[1:] = sinusoidal_2d(cells, cells, self.channels)
        for parameter in (patches.projection, patches.bias, patches.positions):
            assert parameter is not None
            parameter.requires_grad_(False)


def classified(logits: Tensor, batch: Batch) -> Losses:
    """Cross-entropy of the records' classes. logits: [B, C]."""
    return Losses({"class": masked_tokens(logits, batch.labels["class"])}, {"class": math.log(logits.shape[-1])})
