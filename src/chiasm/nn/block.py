"""One Transformer block, assembled from parts that are handed in."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from chiasm.nn.layout import Layout


class Block(nn.Module):
    """Pre-norm residual block: x + attention(norm(x)), then x + feed_forward(norm(x)) (arXiv 2002.04745).

    The feed-forward part is a mapping from modality to expert (multiway, arXiv 2111.02358): a token passes the expert of its
    modality. A single-modality trunk is the same block with one expert.
    """

    def __init__(
        self,
        attention: nn.Module,
        experts: Mapping[str, nn.Module],
        attention_norm: nn.Module,
        expert_norms: Mapping[str, nn.Module],
    ) -> None:
        super().__init__()
        self.attention = attention
        self.attention_norm = attention_norm
        self.experts = nn.ModuleDict(dict(experts))
        self.expert_norms = nn.ModuleDict(dict(expert_norms))

    def forward(self, x: Tensor, layout: Layout) -> Tensor:
        """x: packed tokens [P, D]."""
        x = x + self.attention(self.attention_norm(x), layout)
        parts = [self.experts[m](self.expert_norms[m](x[start:stop])) for m, start, stop in layout.spans]
        return x + (parts[0] if len(parts) == 1 else torch.cat(parts))
