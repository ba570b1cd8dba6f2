"""What each cell of a picture says of itself: a class, or the box of the object that it lies in. A patch has several cells a side."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from chiasm.nn.linear import Linear


class CellHead(nn.Module):
    """Some values for the cells of each patch: features [I, N, D] of N = n² patches → float32 [I, n·cells, n·cells, values]."""

    def __init__(self, width: int, cells: int, values: int) -> None:
        super().__init__()
        self.cells, self.values = cells, values
        self.inner = Linear(width, 2 * width)
        self.outer = Linear(2 * width, cells * cells * values)
        for module in (self.inner, self.outer):
            nn.init.normal_(module.weight, std=module.in_features**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        I, N, c = x.shape[0], x.shape[1], self.cells
        n = round(N**0.5)
        out = self.outer(F.gelu(self.inner(x))).float()
        return out.view(I, n, n, c, c, self.values).permute(0, 1, 3, 2, 4, 5).reshape(I, n * c, n * c, self.values)
