"""What the parity tests share."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def shake(model: nn.Module) -> nn.Module:
    """Weights large enough that a missing scale or bias shows, gains and biases included."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return model.eval()


@torch.no_grad()
def fill(target: nn.Module, *sources: nn.Module, transpose: bool = False) -> None:
    """The rows of the sources, one below the other, become the target's."""
    weight = torch.cat([s.weight.T if transpose else s.weight for s in sources])
    target.get_parameter("weight").copy_(weight)
    if getattr(sources[0], "bias", None) is not None:
        target.get_parameter("bias").copy_(torch.cat([s.bias for s in sources]))
