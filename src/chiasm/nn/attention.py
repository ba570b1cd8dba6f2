"""Multi-head self-attention: softmax(QKᵀ/√d)V (arXiv 1706.03762, 3.2).

Two kernels compute the same thing. torch's fused one streams over the keys and never holds the N × N scores; it is the one for
long sequences and for accelerators. On CPUs in bfloat16 it is 3–9 times slower than two plain batched products at the lengths of
this field (18–64 tokens), so those are used below `FUSED_FROM` tokens.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from chiasm.nn.layout import Layout
from chiasm.nn.linear import Linear

FUSED_FROM = 1024
"""Tokens from which the fused kernel is used on a CPU; below it, explicit products are faster (benchmarks/attention.py)."""


def attend(q: Tensor, k: Tensor, v: Tensor, valid: Tensor | None = None, causal: bool = False) -> Tensor:
    """q: [B, H, N, d]; k, v: [B, H, M, d]; valid: bool [B, M], True for keys that may be seen → [B, H, N, d].

    A query none of whose keys is valid yields the mean of the values, not NaN.
    """
    mask = None
    if valid is not None or causal:
        # Additive and finite: a row without any valid key must not become NaN, and its output is never used.
        lowest = torch.finfo(q.dtype).min / 2
        mask = torch.zeros((), dtype=q.dtype, device=q.device)
        if valid is not None:
            mask = mask + (~valid).to(q.dtype)[:, None, None, :] * lowest
        if causal:
            future = torch.ones(q.shape[-2], k.shape[-2], dtype=torch.bool, device=q.device)
            mask = mask + future.triu(k.shape[-2] - q.shape[-2] + 1).to(q.dtype) * lowest
        mask = mask.clamp(min=lowest)
    if q.device.type != "cpu" or k.shape[-2] >= FUSED_FROM:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    scores = torch.matmul(q * q.shape[-1] ** -0.5, k.transpose(-1, -2))
    if mask is not None:
        scores = scores + mask
    return torch.matmul(scores.softmax(-1), v)


class SelfAttention(nn.Module):
    """Packed tokens [P, D] → [P, D]; one projection for queries, keys and values."""

    def __init__(self, width: int, heads: int, bias: bool = True, causal: bool = False) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width} is not a multiple of heads {heads}")
        self.heads = heads
        self.causal = causal
        self.qkv = Linear(width, 3 * width, bias=bias)
        self.out = Linear(width, width, bias=bias)

    def forward(self, x: Tensor, layout: Layout) -> Tensor:
        B, N, D = layout.batch, layout.length, x.shape[-1]
        q, k, v = layout.unpack(self.qkv(x)).view(B, N, 3, self.heads, D // self.heads).permute(2, 0, 3, 1, 4)
        mixed = attend(q, k, v, layout.valid, self.causal)
        return self.out(layout.pack(mixed.transpose(1, 2).reshape(B, N, D)))
