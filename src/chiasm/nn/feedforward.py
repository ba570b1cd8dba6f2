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
    """x·σ(1.702x) = silu(1.702x)/1.702, whose derivative is silu's at 1.702x: one fused kernel backward, where autograd has a chain of four."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        scaled = 1.702 * x
        ctx.save_for_backward(scaled)
        return F.silu(scaled).mul_(1 / 1.702)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (scaled,) = ctx.saved_tensors
        slope: Tensor = torch.ops.aten.silu_backward(gradients[0], scaled)
        return slope


def quick_gelu(x: Tensor) -> Tensor:
    """x·σ(1.702x), the GELU approximation of CLIP's public checkpoints."""
    return _QuickGELU.apply(x)  # type: ignore[no-any-return]


def gelu_tanh(x: Tensor) -> Tensor:
    """GELU by tanh (arXiv 1606.08415, 2), as GPT-2 has it."""
    return F.gelu(x, approximate="tanh")


def geglu(x: Tensor) -> Tensor:
    """[..., 2h] → [..., h]: GELU of the first half times the second (arXiv 2002.05202, 2), with GPT-2's GELU as in T5 v1.1."""
    gate, value = x.chunk(2, -1)
    return gelu_tanh(gate) * value


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_tanh": gelu_tanh,
    "geglu": geglu,
    "quick_gelu": quick_gelu,
    "relu": F.relu,
    "squared_relu": squared_relu,
}


GELUS = {"gelu": "none", "gelu_tanh": "tanh"}
"""Those that a product's kernel may apply itself, by torch's names (nn/linear.py)."""


class FeedForward(nn.Module):
    """Linear → activation → Linear, [..., D] → [..., D] (arXiv 1706.03762, 3.3); a gate (geglu) has two inner rows a hidden value."""

    def __init__(self, width: int, hidden: int, activation: str = "gelu", bias: bool = True) -> None:
        super().__init__()
        self.inner = Linear(width, 2 * hidden if activation == "geglu" else hidden, bias=bias)
        self.inner.stacked = 2 if activation == "geglu" else 1
        self.outer = Linear(hidden, width, bias=bias)
        self.activation = ACTIVATIONS[activation]
        self._gelu = GELUS.get(activation)

    def forward(self, x: Tensor) -> Tensor:
        if self._gelu is not None:
            return self.outer(self.inner.gelu(x, self._gelu))
        return self.outer(self.activation(self.inner(x)))
