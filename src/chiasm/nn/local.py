"""Layers that look at a cell and its direct neighbours, in time or in the plane: convolutions of width 3 whose weight is a matrix.

As a matrix it is trained as one: Muon (train/optimizer.py) brings these networks several times as far as AdamW at equal time (LOG.md).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from chiasm.nn.linear import Linear, RMSNorm

KERNEL = 3


class Neighbours(Linear):
    """[I, H, W, C] or [I, T, C] → the same with C' channels; beyond the edges is zero.

    plane: whether neighbours are the 3 × 3 of a plane (weight [C', 9·C]), or the 3 of a line (weight [C', 3·C]).
    """

    def __init__(self, inner: int, outer: int, *, plane: bool) -> None:
        super().__init__(inner * KERNEL ** (2 if plane else 1), outer)
        self.inner, self.plane = inner, plane

    def forward(self, input: Tensor) -> Tensor:
        if not self.plane:
            length, padded = input.shape[1], F.pad(input, (0, 0, 1, 1))
            return super().forward(torch.cat([padded[:, i : i + length] for i in range(KERNEL)], -1))
        # A convolution of channels-last memory is as fast as the product with the unfolded input, and needs no ninefold copy of it.
        kernel = self.weight.unflatten(1, (KERNEL, KERNEL, self.inner)).permute(0, 3, 1, 2).to(input.dtype)
        bias = None if self.bias is None else self.bias.to(input.dtype)
        return F.conv2d(input.permute(0, 3, 1, 2), kernel, bias, padding=1).permute(0, 2, 3, 1)


class LocalBlock(nn.Module):
    """x + W₂ gelu(W₁ neighbours(norm(x))), RMS norm (arXiv 1910.07467); begins as the identity."""

    def __init__(self, width: int, *, plane: bool) -> None:
        super().__init__()
        self.norm = RMSNorm(width)
        self.look = Neighbours(width, width, plane=plane)
        self.mix = Linear(width, width)
        nn.init.zeros_(self.mix.weight)

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """valid: bool [I, T]; what is not valid counts as beyond the edge, and is not to be read."""
        y = self.norm(x)
        if valid is not None:
            y = y * valid[..., None]
        return x + self.mix(F.gelu(self.look(y), approximate="tanh"))


def cells(x: Tensor, side: int) -> Tensor:
    """Space to depth: [I, H, W, C] → [I, H/side, W/side, side·side·C]."""
    I, H, W, C = x.shape
    return (
        x.reshape(I, H // side, side, W // side, side, C)
        .transpose(2, 3)
        .reshape(I, H // side, W // side, side * side * C)
    )


def uncells(x: Tensor, side: int) -> Tensor:
    """Depth to space, the way back: [I, h, w, side·side·C] → [I, h·side, w·side, C]."""
    I, h, w, D = x.shape
    C = D // (side * side)
    return x.reshape(I, h, w, side, side, C).transpose(2, 3).reshape(I, h * side, w * side, C)
