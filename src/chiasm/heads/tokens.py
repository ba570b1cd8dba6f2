"""From the trunk's features to words: logits over the vocabulary."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from chiasm.nn.linear import LayerNorm, Linear, linear


def tied_words(x: Tensor, table: Tensor) -> Tensor:
    """Logits by the table that words are read with (arXiv 1608.05859). x: [..., D]; table: [V, D], the embedder's → float32 [..., V]."""
    return linear(x, table).float()


class WordHead(nn.Module):
    """BERT's masked-word head (arXiv 1810.04805, A.1 and its public code): dense → GELU → LayerNorm → the word table, tied, + a bias a word."""

    def __init__(self, width: int, vocabulary: int, eps: float = 1e-12) -> None:
        super().__init__()
        self.dense = Linear(width, width)
        self.norm = LayerNorm(width, eps=eps)
        self.bias = nn.Parameter(torch.zeros(vocabulary))

    def forward(self, x: Tensor, table: Tensor) -> Tensor:
        """x: [..., D]; table: [V, D], the embedder's → float32 [..., V]."""
        x = self.norm(F.gelu(self.dense(x)))
        return tied_words(x, table) + self.bias


class Pooler(nn.Module):
    """The first token's feature through a dense layer and tanh: [B, N, D] → [B, D] (BERT's public code)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dense = Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.dense(x[:, 0]))
