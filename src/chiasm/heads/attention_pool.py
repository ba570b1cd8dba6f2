"""One learned query that looks at all tokens of an item: multi-head attention pooling (Set Transformer's PMA, arXiv 1810.00825, 3.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from chiasm.nn.attention import CrossAttention
from chiasm.nn.feedforward import FeedForward
from chiasm.nn.layout import Layout
from chiasm.nn.linear import LayerNorm
from chiasm.types import Features


class AttentionPool(nn.Module):
    """Features [I, N, D] → [I, D]: a = attention of the probe, then a + feed-forward(norm(a)), as in SigLIP's public picture encoder."""

    def __init__(self, width: int, heads: int, hidden: int, activation: str = "gelu_tanh", eps: float = 1e-6) -> None:
        super().__init__()
        self.probe = nn.Parameter(torch.randn(width) * width**-0.5)
        self.attention = CrossAttention(width, heads)
        self.norm = LayerNorm(width, eps=eps)
        self.feed_forward = FeedForward(width, hidden, activation)

    def forward(self, features: Features) -> Tensor:
        count = len(features.x)
        layout = Layout.single(features)
        probe = Layout(features.valid.new_ones(count, 1), (("probe", 0, 1),))
        query = self.probe.to(features.x.dtype).expand(count, -1)
        x = self.attention(query, probe, layout.pack(features.x), layout)
        return x + self.feed_forward(self.norm(x))
