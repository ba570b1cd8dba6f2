"""Finite scalar quantisation (Mentzer et al., arXiv 2309.15505): a latent vector becomes a few small whole numbers, without a codebook.

Each channel is bounded to L values and rounded; gradients pass straight through the rounding. The channels are split into G groups of equal
levels, and a group's channels together are one code: 0 … L₁·L₂·… − 1. Several small codes a step carry more than one large code would, and a
model that writes them needs a head of hundreds of classes, not of hundreds of thousands.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

ROOM = 1e-3
"""How far beyond the outermost level the bound reaches, as a share, so that rounding gets there (as in the paper's code, appendix A.1)."""


class Quantizer(nn.Module):
    """width: channels of the latents, groups × len(levels) · sizes: codes of each group."""

    def __init__(self, levels: Sequence[int], groups: int) -> None:
        """levels: of the channels of a group, each at least 2. Raises ValueError."""
        super().__init__()
        if groups < 1 or not levels or min(levels) < 2:
            raise ValueError(f"{groups} groups of levels {tuple(levels)}: at least one group, and two levels a channel")
        self.levels, self.groups = tuple(levels), groups
        self.width = groups * len(self.levels)
        self.sizes = (math.prod(self.levels),) * groups
        count = torch.tensor(self.levels, dtype=torch.float32)
        half = (count - 1) * (1 + ROOM) / 2
        # An even number of levels has no level in the middle: half a step aside, and zero still goes to zero (section 3.1).
        aside = torch.where(count % 2 == 0, 0.5, 0.0)
        place = torch.tensor([math.prod(self.levels[:index]) for index in range(len(self.levels))])
        self._count: Tensor
        self._half: Tensor
        self._aside: Tensor
        self._shift: Tensor
        self._place: Tensor
        self.register_buffer("_count", count, persistent=False)
        self.register_buffer("_half", half, persistent=False)
        self.register_buffer("_aside", aside, persistent=False)
        self.register_buffer("_shift", torch.atanh(aside / half), persistent=False)
        self.register_buffer("_place", place, persistent=False)

    def forward(self, latents: Tensor) -> Tensor:
        """float [..., width] → the nearest representable latents, float32 [..., width] in [−1, 1]; the gradient passes through the rounding."""
        bounded = self._bounded(latents)
        rounded = bounded + (bounded.round() - bounded).detach()
        return (rounded / (self._count // 2)).flatten(-2)

    def encode(self, latents: Tensor) -> Tensor:
        """float [..., width] → codes int64 [..., G]."""
        digits = self._bounded(latents).round() + self._count // 2
        return (digits.long() * self._place).sum(-1)

    def decode(self, codes: Tensor) -> Tensor:
        """Codes int64 [..., G] → what `forward` made of the latents, float32 [..., width]. Raises ValueError for a code that there is not."""
        if codes.numel() and (int(codes.min()) < 0 or int(codes.max()) >= self.sizes[0]):
            raise ValueError(f"codes {int(codes.min())} to {int(codes.max())}; they are 0 to {self.sizes[0] - 1}")
        half = self._count.long() // 2
        digits = codes[..., None] // self._place % self._count.long()
        return ((digits - half).float() / half).flatten(-2)

    def _bounded(self, latents: Tensor) -> Tensor:
        """[..., width] → [..., G, channels], within half a step of the outermost levels."""
        z = latents.float().unflatten(-1, (self.groups, len(self.levels)))
        return torch.tanh(z + self._shift) * self._half - self._aside
