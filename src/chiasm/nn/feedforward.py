"""The position-wise feed-forward network of a Transformer block, and its activations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from chiasm.nn.linear import Linear


class _SquaredReLU(torch.autograd.Function):
    """max(x, 0)² saving one tensor instead of autograd's two."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        rectified = x.relu()
        ctx.save_for_backward(rectified)
        return rectified.square()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (rectified,) = ctx.saved_tensors
        return rectified.mul(gradients[0]).mul_(2)


def squared_relu(x: Tensor) -> Tensor:
    """max(x, 0)² (Primer, arXiv 2109.08668)."""
    return _SquaredReLU.apply(x)  # type: ignore[no-any-return]


class _QuickGELU(torch.autograd.Function):
    """x·σ(1.702x), its backward in one pass over saved σ instead of autograd's chain of four."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        gate = torch.sigmoid(1.702 * x)
        ctx.save_for_backward(x, gate)
        return x * gate

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        x, gate = ctx.saved_tensors
        # d/dx = σ + 1.702·x·σ·(1 − σ) = σ·(1 + 1.702·(x − xσ))
        slope = torch.addcmul(x, x, gate, value=-1).mul_(1.702).add_(1).mul_(gate)
        return slope.mul_(gradients[0])


def quick_gelu(x: Tensor) -> Tensor:
    """x·σ(1.702x), the GELU approximation of CLIP's public checkpoints."""
    return _QuickGELU.apply(x)  # type: ignore[no-any-return]


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "quick_gelu": quick_gelu,
    "relu": F.relu,
    "squared_relu": squared_relu,
}


class FeedForward(nn.Module):
    """Linear → activation → Linear, [..., D] → [..., D] (arXiv 1706.03762, 3.3)."""

    def __init__(self, width: int, hidden: int, activation: str = "gelu", bias: bool = True) -> None:
        super().__init__()
        self.inner = Linear(width, hidden, bias=bias)
        self.outer = Linear(hidden, width, bias=bias)
        self.activation = ACTIVATIONS[activation]

    def forward(self, x: Tensor) -> Tensor:
        return self.outer(self.activation(self.inner(x)))
