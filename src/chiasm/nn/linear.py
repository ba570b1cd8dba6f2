"""Layers that compute in the type of their input and keep their parameters in float32.

The precision of a pass is decided once, where tokens are embedded; from there every layer follows its input. This
replaces autocast: no per-operation bookkeeping, and nothing is promoted to float32 by accident (a float32 position table
added to a bfloat16 stream promotes the whole stream, which costs half the speed).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Linear(nn.Linear):
    """y = x Wᵀ + b in x's type."""

    bias: nn.Parameter | None  # type: ignore[assignment]

    def forward(self, input: Tensor) -> Tensor:
        bias = None if self.bias is None else self.bias.to(input.dtype)
        return F.linear(input, self.weight.to(input.dtype), bias)


class LayerNorm(nn.LayerNorm):
    """Layer normalisation (arXiv 1607.06450) in x's type; statistics are float32 inside the kernel."""

    bias: nn.Parameter | None  # type: ignore[assignment]

    def forward(self, input: Tensor) -> Tensor:
        bias = None if self.bias is None else self.bias.to(input.dtype)
        return F.layer_norm(input, self.normalized_shape, self.weight.to(input.dtype), bias, self.eps)


class RMSNorm(nn.Module):
    """Root-mean-square normalisation (arXiv 1910.07467) in x's type, with a gain and no bias."""

    def __init__(self, width: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, (x.shape[-1],), self.weight.to(x.dtype), self.eps)


def make_norm(kind: str, width: int, eps: float = 1e-5) -> nn.Module:
    """`layer_norm` or `rms_norm` over the last axis."""
    if kind == "layer_norm":
        return LayerNorm(width, eps=eps)
    if kind == "rms_norm":
        return RMSNorm(width, eps=eps)
    raise ValueError(f"norm must be layer_norm or rms_norm, not {kind!r}")
