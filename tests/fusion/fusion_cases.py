"""What the tests of fusions share."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from chiasm.fusion.make import FusionKind, make_fusion
from chiasm.fusion.progressive import Progressive
from chiasm.types import Features

WIDTH, HEADS, LAYERS = 16, 2, 2
LENGTHS = {"text": 5, "image": 4, "audio": 3}


def shake(module: Any) -> Any:
    """Weights large enough that a wrong path or scale shows, gains and biases included."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return module


def fusion(kind: FusionKind, modalities: tuple[str, ...] = ("text", "image")) -> Any:
    """The fusion, shaken; a progressive one in its last stage."""
    torch.manual_seed(0)
    made = shake(make_fusion(kind, modalities, WIDTH, HEADS, LAYERS))
    if isinstance(made, Progressive):
        made.advance(1.0)
    return made


def parts(
    modalities: tuple[str, ...] = ("text", "image"), count: int = 3, *, ragged: bool = True
) -> dict[str, Features]:
    """Random sequences of `count` records; the last text is two tokens shorter where ragged."""
    generator = torch.Generator().manual_seed(3)
    made: dict[str, Features] = {}
    for name in modalities:
        length = LENGTHS[name]
        valid = torch.ones(count, length, dtype=torch.bool)
        if ragged and name == "text":
            valid[-1, -2:] = False
        x = torch.randn(count, length, WIDTH, generator=generator)
        made[name] = Features(x, valid, ((name, 0, length),))
    return made


def without(features: Features, record: int) -> Features:
    """The same where one record lacks the modality."""
    valid = features.valid.clone()
    valid[record] = False
    return Features(features.x, valid, features.segments)


def asked(x: Tensor) -> Tensor:
    """A scalar that depends on every value of x, in its own way: norms make plain sums constant."""
    return (x * torch.linspace(-1, 1, x.numel()).view_as(x).sin()).sum()


def gradients(module: nn.Module) -> dict[str, float]:
    """The largest gradient of each parameter, 0 where it has none."""
    return {n: 0.0 if p.grad is None else p.grad.abs().max().item() for n, p in module.named_parameters()}
