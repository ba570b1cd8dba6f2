"""Multi-head attention: softmax(QKᵀ/√d)V (arXiv 1706.03762, 3.2), its unscaled form, and Bahdanau's additive one.

Two kernels compute the same thing. torch's fused one streams over the keys and never holds the N × N scores; it is the one for
long sequences and for accelerators. On CPUs in bfloat16 it is 3–9 times slower than two plain batched products at the lengths of
this field (18–64 tokens), so those are used below `FUSED_FROM` tokens. A single query in float32, as decoding has it (nn/cache.py), is
bound by reading keys and values; there the fused kernel is one call instead of four.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from chiasm.nn.cache import BlockCache, held
from chiasm.nn.layout import Layout
from chiasm.nn.linear import Linear
from chiasm.nn.positions import Rotary

FUSED_FROM = 1024
"""Tokens from which the fused kernel is used on a CPU; below it, explicit products are faster (benchmarks/attention.py)."""

KINDS = ("scaled_dot", "dot", "additive")
"""softmax(QKᵀ/√d) · softmax(QKᵀ), which T5 uses (arXiv 1910.10683, 2.1) · softmax(vᵀ tanh(Q + K)) (arXiv 1409.0473, 3.1)."""


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    valid: Tensor | None = None,
    causal: bool = False,
    bias: Tensor | None = None,
    allowed: Tensor | None = None,
    scale: float | None = None,
) -> Tensor:
    """q: [B, H, N, d]; k, v: [B, H, M, d] → [B, H, N, d].

    valid: bool [B, M], True for keys that may be seen. causal: the last query sees the last key, and none sees what comes after
    its own. bias: [1 or B, H, N, M], added to the scores. allowed: bool [1 or B, N, M], True where the query may see the key.
    scale: what the products are multiplied with, 1/√d where None.

    A query that may see no key yields the mean of the values, not NaN.
    """
    if scale is None:
        scale = float(q.shape[-1] ** -0.5)
    mask = _mask(q, k, valid, causal, bias, allowed)
    once = q.shape[-2] == 1 and q.dtype == torch.float32
    if once or q.device.type != "cpu" or k.shape[-2] >= FUSED_FROM:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale)
    scores = torch.matmul(q if scale == 1 else q * scale, k.transpose(-1, -2))
    if mask is not None:
        scores = scores + mask
    return torch.matmul(scores.softmax(-1), v)


def attend_additively(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    energy: Tensor,
    valid: Tensor | None = None,
    causal: bool = False,
    bias: Tensor | None = None,
    allowed: Tensor | None = None,
) -> Tensor:
    """The same with the score energy · tanh(q + k) for each pair; energy: [H, d]. Holds B·H·N·M·d values."""
    pairs = torch.tanh(q[:, :, :, None] + k[:, :, None])
    scores = torch.matmul(pairs, energy.to(q.dtype)[None, :, None, :, None]).squeeze(-1)
    mask = _mask(q, k, valid, causal, bias, allowed)
    if mask is not None:
        scores = scores + mask
    return torch.matmul(scores.softmax(-1), v)


def _mask(
    q: Tensor, k: Tensor, valid: Tensor | None, causal: bool, bias: Tensor | None, allowed: Tensor | None
) -> Tensor | None:
    """What is added to the scores; it broadcasts to [B, H, N, M]."""
    # One query is the last one: nothing is in its future.
    causal = causal and q.shape[-2] > 1
    if valid is None and not causal and allowed is None:
        return bias
    # Additive and finite: a row without any valid key must not become NaN, and its output is never used.
    lowest = torch.finfo(q.dtype).min / 2
    mask = torch.zeros((), dtype=q.dtype, device=q.device)
    if valid is not None:
        mask = mask + (~valid).to(q.dtype)[:, None, None, :] * lowest
    if causal:
        future = torch.ones(q.shape[-2], k.shape[-2], dtype=torch.bool, device=q.device)
        mask = mask + future.triu(k.shape[-2] - q.shape[-2] + 1).to(q.dtype) * lowest
    if allowed is not None:
        mask = mask + (~allowed).to(q.dtype)[:, None] * lowest
    mask = mask.clamp(min=lowest)
    return mask if bias is None else (mask + bias).clamp(min=lowest)


class _Attention(nn.Module):
    """What self- and cross-attention share: the heads' shape, the kind, and the projection back into the stream."""

    def __init__(self, width: int, heads: int, bias: bool, kind: str, head_width: int | None) -> None:
        super().__init__()
        if kind not in KINDS:
            raise ValueError(f"attention must be one of {', '.join(KINDS)}, not {kind!r}")
        if head_width is None and width % heads:
            raise ValueError(f"width {width} is not a multiple of heads {heads}")
        self.heads = heads
        self.head_width = head_width or width // heads
        self.scale = self.head_width**-0.5 if kind == "scaled_dot" else 1.0
        energy = torch.randn(heads, self.head_width) * self.head_width**-0.5 if kind == "additive" else None
        self.energy = None if energy is None else nn.Parameter(energy)

    @property
    def inner(self) -> int:
        """The width of all heads together."""
        return self.heads * self.head_width

    def _attend(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        valid: Tensor | None,
        causal: bool = False,
        bias: Tensor | None = None,
        allowed: Tensor | None = None,
    ) -> Tensor:
        """[B, H, N, d] → [B, N, H·d]."""
        if self.energy is None:
            mixed = attend(q, k, v, valid, causal, bias, allowed, self.scale)
        else:
            mixed = attend_additively(q, k, v, self.energy, valid, causal, bias, allowed)
        return mixed.transpose(1, 2).reshape(q.shape[0], q.shape[2], self.inner)


class SelfAttention(_Attention):
    """Packed tokens [P, D] → [P, D]; one projection for queries, keys and values.

    kind: one of KINDS. head_width: d, width/heads where None. rotary: turns queries and keys by their positions.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        bias: bool = True,
        causal: bool = False,
        *,
        kind: str = "scaled_dot",
        head_width: int | None = None,
        rotary: Rotary | None = None,
    ) -> None:
        super().__init__(width, heads, bias, kind, head_width)
        self.causal = causal
        self.rotary = rotary
        self.qkv = Linear(width, 3 * self.inner, bias=bias)
        self.qkv.stacked = 3
        self.out = Linear(self.inner, width, bias=bias)

    def forward(
        self,
        x: Tensor,
        layout: Layout,
        bias: Tensor | None = None,
        cache: BlockCache | None = None,
        places: Tensor | None = None,
    ) -> Tensor:
        """bias: [1 or B, H, N, M], added to the scores. cache: keys and values of the tokens before x, to which x's are added.
        places: packed [P, D], added to what queries and keys are made of, but not values."""
        q, k, v = self._project(x, layout, places)
        valid = layout.valid
        if self.rotary is not None:
            positions = layout.positions if cache is None else cache.positions
            q, k = self.rotary(q, positions), self.rotary(k, positions)
        if cache is not None:
            k, v = cache.append(k, v)
            q, valid = q.to(k.dtype), cache.valid
            bias = None if bias is None else bias.to(q.dtype)
            if cache.owner.tree is not None or (valid is not None and layout.length == 1):
                valid, bias = None, _added(cache.owner.mask(q.dtype), bias)
        return self.out(layout.pack(self._attend(q, k, v, valid, self.causal, bias, layout.allowed)).to(x.dtype))

    def weights(
        self, x: Tensor, layout: Layout, bias: Tensor | None = None, places: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """How much each token takes of each, [B, H, N, N], and the values that it takes [B, H, N, d]: what `forward` computes and does not
        keep, for those who ask why. Without a cache."""
        q, k, v = self._project(x, layout, places)
        if self.rotary is not None:
            q, k = self.rotary(q, layout.positions), self.rotary(k, layout.positions)
        unit = torch.eye(k.shape[2], dtype=q.dtype, device=q.device).expand(*k.shape[:2], -1, -1)
        mask = layout.valid, self.causal, bias, layout.allowed
        if self.energy is None:
            return attend(q, k, unit, *mask, scale=self.scale), v
        return attend_additively(q, k, unit, self.energy, *mask), v

    def _project(self, x: Tensor, layout: Layout, places: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, [B, H, N, d] each."""
        shape = (layout.batch, layout.length, 3, self.heads, self.head_width)
        qkv = self.qkv(x)
        if places is not None:
            qkv = _swap(self.qkv(x + places), qkv, 2 * self.inner)
        q, k, v = layout.unpack(qkv).view(shape).permute(2, 0, 3, 1, 4)
        return q, k, v


class CrossAttention(_Attention):
    """Packed tokens [P, D] look at a memory [Q, C] of as many sequences → [P, D]; its keys and values have one projection."""

    def __init__(
        self,
        width: int,
        heads: int,
        memory_width: int | None = None,
        bias: bool = True,
        kind: str = "scaled_dot",
        head_width: int | None = None,
    ) -> None:
        super().__init__(width, heads, bias, kind, head_width)
        self.q = Linear(width, self.inner, bias=bias)
        self.kv = Linear(memory_width or width, 2 * self.inner, bias=bias)
        self.kv.stacked = 2
        self.out = Linear(self.inner, width, bias=bias)

    def forward(
        self,
        x: Tensor,
        layout: Layout,
        memory: Tensor | None,
        memory_layout: Layout | None,
        cache: BlockCache | None = None,
        places: Tensor | None = None,
        memory_places: Tensor | None = None,
    ) -> Tensor:
        """memory may be None once a cache has seen it: its keys and values are computed once.
        places, memory_places: packed [P, D] and [Q, C], added to what queries and keys are made of."""
        if cache is not None and cache.memory is not None:
            k, v, valid = cache.memory
        elif memory is None or memory_layout is None:
            raise ValueError("cross-attention needs a memory to look at: hand in memory=")
        else:
            shape = (memory_layout.batch, memory_layout.length, 2, self.heads, self.head_width)
            kv = self.kv(memory)
            if memory_places is not None:
                kv = _swap(self.kv(memory + memory_places), kv, self.inner)
            k, v = memory_layout.unpack(kv).view(shape).permute(2, 0, 3, 1, 4)
            valid = memory_layout.valid
            if cache is not None:
                cache.memory = k, v, valid = (held(k), held(v), valid)
        q = layout.unpack(self.q(x if places is None else x + places))
        q = q.view(layout.batch, layout.length, self.heads, self.head_width).transpose(1, 2)
        return self.out(layout.pack(self._attend(q.to(k.dtype), k, v, valid)).to(x.dtype))


def _added(mask: Tensor | None, bias: Tensor | None) -> Tensor | None:
    """A finite mask and a bias of the scores as one."""
    if mask is None or bias is None:
        return bias if mask is None else mask
    return (mask + bias).clamp(min=torch.finfo(bias.dtype).min / 2)


def _swap(first: Tensor, rest: Tensor, at: int) -> Tensor:
    """The first `at` columns of one and the others of the other."""
    return torch.cat([first[:, :at], rest[:, at:]], -1)
