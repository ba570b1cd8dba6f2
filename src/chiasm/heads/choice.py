"""From a feature to a choice among classes: of a token, or of a whole sequence by its first token."""

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
