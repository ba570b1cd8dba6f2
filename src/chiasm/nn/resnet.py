"""ResNet (arXiv 1512.03385): the convolutional network that ViT is compared with, and the encoder of SimCLR, MoCo and DETR.

Bottlenecks stride in their 3 × 3 convolution ("v1.5"), as the public weights of torchvision and Hugging Face do.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of red, green and blue, as shares of 255."""

DEPTHS: dict[str, tuple[tuple[int, ...], bool]] = {
    "resnet18": ((2, 2, 2, 2), False),
    "resnet34": ((3, 4, 6, 3), False),
    "resnet50": ((3, 4, 6, 3), True),
    "resnet101": ((3, 4, 23, 3), True),
}
"""Units a stage, and whether they are bottlenecks (Table 1)."""


class Convolution(nn.Conv2d):
    """Convolution without bias in x's type over float32 weights, and batch normalisation, whose statistics are float32."""

    def __init__(self, inner: int, outer: int, size: int, stride: int = 1) -> None:
        super().__init__(inner, outer, size, stride, padding=size // 2, bias=False)
        nn.init.kaiming_normal_(self.weight, mode="fan_out", nonlinearity="relu")
        self.norm = nn.BatchNorm2d(outer)

    def forward(self, input: Tensor) -> Tensor:
        return self.norm(self._conv_forward(input, self.weight.to(input.dtype), None))


class Unit(nn.Module):
    """x + convolutions(x), rectified: two of 3 × 3, or a bottleneck of 1 × 1, 3 × 3, 1 × 1 (section 4.1)."""

    def __init__(self, inner: int, width: int, stride: int, bottleneck: bool) -> None:
        super().__init__()
        outer = 4 * width if bottleneck else width
        if bottleneck:
            steps = [Convolution(inner, width, 1), Convolution(width, width, 3, stride), Convolution(width, outer, 1)]
        else:
            steps = [Convolution(inner, width, 3, stride), Convolution(width, outer, 3)]
        self.steps = nn.ModuleList(steps)
        self.shortcut = Convolution(inner, outer, 1, stride) if stride != 1 or inner != outer else None

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for index, step in enumerate(self.steps):
            y = step(y if index == 0 else F.relu(y, inplace=True))
        return F.relu(y + (x if self.shortcut is None else self.shortcut(x)))


class ResNet(nn.Module):
    """Pictures → a feature map. Statistics of batch normalisation move in training mode only.

    stem: "imagenet", 7 × 7 with stride 2 and pooling, a map 32 times smaller than the picture; "cifar", 3 × 3 with stride 1 for
    pictures of about 32 pixels (SimCLR, arXiv 2002.05709, B.9), 8 times smaller.
    channels: C, what the map has. mean, deviation: buffers [3], shares of 255, ImageNet's unless `standardise` says otherwise.
    """

    def __init__(self, depths: Sequence[int], bottleneck: bool, width: int = 64, stem: str = "imagenet") -> None:
        super().__init__()
        if stem not in ("imagenet", "cifar"):
            raise ValueError(f"stem must be imagenet or cifar, not {stem!r}")
        self.mean: Tensor
        self.deviation: Tensor
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN))
        self.register_buffer("deviation", torch.tensor(IMAGENET_DEVIATION))
        self.pooled = stem == "imagenet"
        self.stem = Convolution(3, width, 7, 2) if self.pooled else Convolution(3, width, 3)
        inner = width
        stages: list[nn.Module] = []
        for index, depth in enumerate(depths):
            units: list[Unit] = []
            for unit in range(depth):
                units.append(Unit(inner, width * 2**index, 2 if index and not unit else 1, bottleneck))
                inner = width * 2**index * (4 if bottleneck else 1)
            stages.append(nn.Sequential(*units))
        self.stages = nn.ModuleList(stages)
        self.channels = inner

    def standardise(self, mean: Sequence[float], deviation: Sequence[float]) -> None:
        """By these numbers for red, green and blue, as shares of 255."""
        self.mean.copy_(torch.tensor(mean))
        self.deviation.copy_(torch.tensor(deviation))

    def forward(self, pictures: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """uint8 [I, 3, H, W], or float of the same in 0 … 1 → feature map [I, C, h, w], computed in `dtype`."""
        scale = 255.0 if pictures.dtype == torch.uint8 else 1.0
        mean, deviation = (value[:, None, None] * scale for value in (self.mean, self.deviation))
        x = ((pictures - mean) / deviation).to(dtype)
        x = F.relu(self.stem(x.contiguous(memory_format=torch.channels_last)), inplace=True)
        if self.pooled:
            x = F.max_pool2d(x, 3, 2, padding=1)
        for stage in self.stages:
            x = stage(x)
        return x

    @staticmethod
    def pool(features: Tensor) -> Tensor:
        """[I, C, h, w] → [I, C], the mean over the map."""
        return features.mean((2, 3))


def make_resnet(name: str, stem: str = "imagenet", width: int = 64) -> ResNet:
    """resnet18, resnet34, resnet50 or resnet101."""
    if name not in DEPTHS:
        raise ValueError(f"there is no {name!r}: {', '.join(DEPTHS)}")
    depths, bottleneck = DEPTHS[name]
    return ResNet(depths, bottleneck, width, stem)
