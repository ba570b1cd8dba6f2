"""Where a token stands, three ways: sinusoids added to it, a bias on the scores (T5), a rotation of queries and keys.

Learned positions are a table of the embedder (modalities/embed.py).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from chiasm.modalities.embed import sinusoidal

__all__ = ["RelativeBias", "Rotary", "sinusoidal", "sinusoidal_2d"]


def sinusoidal_2d(height: int, width: int, channels: int) -> Tensor:
    """Sinusoids of the row, then of the column, of each place of a map: float32 [height · width, channels] (DETR, arXiv 2005.12872, A.4, and
    its public code: rows and columns count from 1 to the last and are scaled to 2π). channels: a multiple of 4."""
    half = channels // 2
    frequency = 10000.0 ** -(torch.arange(0, half, 2) / half)

    def along(length: int) -> Tensor:
        angle = torch.arange(1, length + 1)[:, None] / (length + 1e-6) * 2 * math.pi * frequency
        return torch.stack([angle.sin(), angle.cos()], -1).flatten(1)

    rows, columns = along(height)[:, None], along(width)[None]
    return torch.cat([rows.expand(height, width, half), columns.expand(height, width, half)], -1).flatten(0, 1)


class RelativeBias(nn.Module):
    """A learned score for each head and each bucket of distances, the same in all blocks (T5, arXiv 1910.10683, 2.1).

    Half of the buckets hold one distance each, the other half ever longer ranges up to `maximum`; longer distances share the last.
    bidirectional: keys before and after a query have buckets of their own; otherwise what comes after counts as distance 0.
    """

    def __init__(self, heads: int, buckets: int = 32, maximum: int = 128, bidirectional: bool = True) -> None:
        super().__init__()
        self.buckets, self.maximum, self.bidirectional = buckets, maximum, bidirectional
        self.table = nn.Parameter(torch.randn(buckets, heads) * 0.02)

    def forward(self, queries: int, keys: int, offset: int = 0) -> Tensor:
        """N queries, the first at position `offset`, and M keys from position 0 → [H, N, M]."""
        device = self.table.device
        at = torch.arange(offset, offset + queries, device=device)
        return self.at(at[None], torch.arange(keys, device=device)[None])[0]

    def at(self, queries: Tensor, keys: Tensor) -> Tensor:
        """The same for given positions: int64 [B, N] and [B, M] → [B, H, N, M]."""
        bucket = self.bucket(keys[:, None, :] - queries[:, :, None])
        return F.embedding(bucket, self.table).permute(0, 3, 1, 2)

    def bucket(self, distance: Tensor) -> Tensor:
        """int64 key position − query position, any shape → the bucket of each."""
        if self.bidirectional:
            buckets = self.buckets // 2
            first = (distance > 0) * buckets
            distance = distance.abs()
        else:
            buckets = self.buckets
            first = torch.zeros_like(distance)
            distance = (-distance).clamp(min=0)
        exact = buckets // 2
        share = torch.log(distance.clamp(min=exact).float() / exact) / math.log(self.maximum / exact)
        wide = (exact + (share * (buckets - exact)).long()).clamp(max=buckets - 1)
        return first + torch.where(distance < exact, distance, wide)


class Rotary(nn.Module):
    """Rotates each pair (x₂ᵢ, x₂ᵢ₊₁) of a query or key by position · base^(−2i/d), so that products depend on distance alone
    (arXiv 2104.09864, 3.2.2). No parameters."""

    def __init__(self, head_width: int, base: float = 10000.0) -> None:
        super().__init__()
        if head_width % 2:
            raise ValueError(f"rotary positions turn pairs: the head width {head_width} must be even")
        self.frequency: Tensor
        exponent = torch.arange(0, head_width, 2, dtype=torch.float32) / head_width
        self.register_buffer("frequency", base**-exponent, persistent=False)

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:
        """x: [B, H, N, d]; positions: int64 [1 or B, N] → x's shape and type. Angles are float32: bfloat16 cannot count to 257."""
        angle = positions[:, None, :, None] * self.frequency
        cosine, sine = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
        even, odd = x[..., 0::2], x[..., 1::2]
        return torch.stack([even * cosine - odd * sine, even * sine + odd * cosine], -1).flatten(-2)
