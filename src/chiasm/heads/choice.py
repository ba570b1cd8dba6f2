"""From a feature to a choice among classes: of a token, of a whole sequence by its first token, or of two sequences by theirs."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from chiasm.heads.tokens import Pooler
from chiasm.nn.linear import LayerNorm, Linear


class ChoiceHead(nn.Module):
    """dense → GELU → LayerNorm → linear, [..., D] → float32 [..., C]: a masked region's class (UNITER, arXiv 1909.11740, its public code)."""

    def __init__(self, width: int, classes: int, eps: float = 1e-12) -> None:
        super().__init__()
        self.dense = Linear(width, width)
        self.norm = LayerNorm(width, eps=eps)
        self.out = Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.norm(F.gelu(self.dense(x)))).float()


class PooledHead(nn.Module):
    """The first token through BERT's pooler → linear, [B, N, D] → float32 [B, C]."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.pool = Pooler(width)
        self.out = Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.pool(x)).float()


class ProductHead(nn.Module):
    """The first features of two sequences, each through dense → ReLU, multiplied → linear: [B, N, D], [B, R, C] → float32 [B, classes]
    (ViLBERT's alignment, arXiv 1908.02265, 3.1, and its public code)."""

    def __init__(self, first: int, second: int, width: int, classes: int) -> None:
        super().__init__()
        self.first = Linear(first, width)
        self.second = Linear(second, width)
        self.out = Linear(width, classes)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return self.out(F.relu(self.first(first[:, 0])) * F.relu(self.second(second[:, 0]))).float()
