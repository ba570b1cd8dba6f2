"""Ragged sequences without padding: the trunk works on the valid tokens only, one after another.

Texts and sounds differ in length; at their usual spread, half of a padded batch is padding. Linear layers and norms do not care
which sequence a token belongs to, so they run on the packed tokens [P, D]; only attention sees the padded form.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from chiasm.types import Features, Tokens


class _Gather(torch.autograd.Function):
    """Rows of x at distinct positions; the backward is a plain scatter because no position occurs twice."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, index: Tensor) -> Tensor:
        ctx.save_for_backward(index)
        ctx.rows = x.shape[0]
        return x.index_select(0, index)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (index,) = ctx.saved_tensors
        gradient = gradients[0]
        return gradient.new_zeros(ctx.rows, *gradient.shape[1:]).index_copy_(0, index, gradient), None


class _Scatter(torch.autograd.Function):
    """The inverse of _Gather: rows to their positions among zeros."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, index: Tensor, rows: int) -> Tensor:
        ctx.save_for_backward(index)
        return x.new_zeros(rows, *x.shape[1:]).index_copy_(0, index, x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (index,) = ctx.saved_tensors
        return gradients[0].index_select(0, index), None, None


class Layout:
    """Where each packed token sits in [B, N], and which packed rows belong to which modality.

    index: int64 [P] into the flattened [B·N], segment by segment, or None where the packed order is the dense one.
    spans: (modality, start, stop) over the packed rows: an expert takes a slice, never a mask.
    valid: bool [B, N], or None when everything is valid.
    allowed: bool [1 or B, N, N], which query may look at which key beside what `valid` and causality say, or None for all.
    whole: whether all are valid, where that is known; otherwise it is looked for, for which an accelerator must be waited for.
    """

    def __init__(
        self,
        valid: Tensor,
        segments: Sequence[tuple[str, int, int]],
        allowed: Tensor | None = None,
        whole: bool | None = None,
    ) -> None:
        self.batch, self.length = valid.shape
        self.segments = tuple(segments)
        self.allowed = allowed
        self.device = valid.device
        dense = bool(valid.all()) if whole is None else whole
        self.valid = None if dense else valid
        self.index: Tensor | None = None
        if dense and len(self.segments) == 1:
            self.spans = ((self.segments[0][0], 0, self.batch * self.length),)
            return
        positions = torch.arange(self.batch * self.length, device=valid.device).view(self.batch, self.length)
        parts = [positions[:, start:stop][valid[:, start:stop]] for _, start, stop in self.segments]
        self.index = torch.cat(parts)
        spans: list[tuple[str, int, int]] = []
        for (modality, _, _), part in zip(self.segments, parts, strict=True):
            start = spans[-1][2] if spans else 0
            spans.append((modality, start, start + len(part)))
        self.spans = tuple(spans)

    @classmethod
    def of(cls, tokens: Tokens | Features, allowed: Tensor | None = None, whole: bool | None = None) -> Layout:
        return cls(tokens.valid, tokens.segments, allowed, whole)

    @classmethod
    def single(
        cls, tokens: Tokens | Features, name: str = "all", allowed: Tensor | None = None, whole: bool | None = None
    ) -> Layout:
        """All segments as one, for modules that treat every token alike."""
        return cls(tokens.valid, ((name, 0, tokens.x.shape[1]),), allowed, whole)

    @cached_property
    def positions(self) -> Tensor:
        """int64 [1 or B, N]: how many valid tokens stand before each, so that padding moves nothing."""
        if self.valid is None:
            return torch.arange(self.length, device=self.device)[None]
        return (self.valid.cumsum(1) - 1).clamp(min=0)

    def pack(self, x: Tensor) -> Tensor:
        """[B, N, C] → [P, C]."""
        flat = x.reshape(self.batch * self.length, x.shape[-1])
        return flat if self.index is None else _Gather.apply(flat, self.index)  # type: ignore[no-any-return]

    def unpack(self, x: Tensor) -> Tensor:
        """[P, C] → [B, N, C], zeros where nothing is valid."""
        if self.index is not None:
            x = _Scatter.apply(x, self.index, self.batch * self.length)
        return x.view(self.batch, self.length, x.shape[-1])
