"""From a modality's tensors to tokens of the trunk's width: the trainable front of each modality.

Each takes Items and a compute type and gives Tokens. None draws random numbers.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from chiasm.types import Items, Tokens


def _keep(x: Tensor, valid: Tensor, keep: Tensor | None) -> tuple[Tensor, Tensor]:
    """The kept tokens of x [I, N, C] and valid [I, N]; all of them where keep is None."""
    if keep is None:
        return x, valid
    return x.gather(1, keep[..., None].expand(-1, -1, x.shape[-1])), valid.gather(1, keep)


def _positions(table: Tensor, count: int, keep: Tensor | None, dtype: torch.dtype) -> Tensor:
    """Rows of the position table [L, D] for `count` tokens, or for the kept ones: [N, D] or [I, K, D]."""
    return table[:count].to(dtype) if keep is None else table.to(dtype)[keep]


class TextEmbedder(nn.Module):
    """Token ids → learned vectors + learned positions."""

    def __init__(self, vocabulary: int, length: int, width: int) -> None:
        super().__init__()
        self.length = length
        self.table = nn.Parameter(torch.randn(vocabulary, width) * 0.05)
        self.positions = nn.Parameter(torch.randn(length, width) * 0.02)

    def forward(self, items: Items, dtype: torch.dtype) -> Tokens:
        """items.value: int64 [I, N], N ≤ length → Tokens [I, N or K, D]."""
        x = F.embedding(items.value, self.table.to(dtype))
        x = x + self.positions[: x.shape[1]].to(dtype)
        x, valid = _keep(x, items.valid, items.keep)
        return Tokens(x, valid, (("text", 0, x.shape[1]),))


class PatchEmbedder(nn.Module):
    """Non-overlapping patches, linearly projected, + learned positions (ViT, arXiv 2010.11929, 3.1).

    For pictures a patch is p × p pixels; for sounds it is p log-mel frames over all bands. Kept patches are chosen
    before the projection, so dropped ones cost nothing.
    """

    def __init__(self, modality: str, patch_values: int, length: int, width: int) -> None:
        super().__init__()
        self.modality = modality
        self.projection = nn.Parameter(torch.randn(width, patch_values) * patch_values**-0.5)
        self.bias = nn.Parameter(torch.zeros(width))
        # What the data look like, set once by `calibrate`; until then uint8 is taken to [−1, 1].
        self.mean: Tensor
        self.deviation: Tensor
        self.register_buffer("mean", torch.full((patch_values,), 127.5))
        self.register_buffer("deviation", torch.full((patch_values,), 127.5))
        self.positions = nn.Parameter(torch.randn(length, width) * 0.05)

    @torch.no_grad()
    def calibrate(self, patches: Tensor) -> None:
        """Standardise by these samples, uint8 [n, C]: pictures are mostly background and sounds mostly quiet, and what all patches
        share would otherwise drown what tells them apart. Deviations are kept from vanishing where a value hardly varies."""
        values = patches.float()
        self.mean.copy_(values.mean(0))
        self.deviation.copy_(values.std(0).clamp(min=16.0))

    def forward(self, patches: Tensor, valid: Tensor, keep: Tensor | None, dtype: torch.dtype) -> Tokens:
        """patches: uint8 [I, N, C]; valid: bool [I, N] → Tokens [I, N or K, D]."""
        count = patches.shape[1]
        patches, valid = _keep(patches, valid, keep)
        # bfloat16 holds every integer up to 256 exactly, so the compute type loses nothing before the subtraction.
        x = patches.to(dtype).sub_(self.mean.to(dtype)).mul_((1 / self.deviation).to(dtype))
        x = F.linear(x, self.projection.to(dtype), self.bias.to(dtype))
        x = x + _positions(self.positions, count, keep, dtype)
        return Tokens(x, valid, ((self.modality, 0, x.shape[1]),))


class ImageEmbedder(nn.Module):
    """Pictures [I, S, S, 3] → (S/p)² tokens."""

    def __init__(self, size: int, patch: int, width: int) -> None:
        super().__init__()
        self.size, self.patch = size, patch
        self.embed = PatchEmbedder("image", patch * patch * 3, (size // patch) ** 2, width)

    def forward(self, items: Items, dtype: torch.dtype) -> Tokens:
        patches = self._patches(items)
        return self.embed(patches, items.valid.expand(patches.shape[:2]), items.keep, dtype)

    def calibrate(self, items: Items) -> None:
        self.embed.calibrate(self._patches(items).flatten(0, 1))

    def _patches(self, items: Items) -> Tensor:
        I, n, p = items.value.shape[0], self.size // self.patch, self.patch
        return items.value.view(I, n, p, n, p, 3).permute(0, 1, 3, 2, 4, 5).reshape(I, n * n, p * p * 3)


class AudioEmbedder(nn.Module):
    """Log-mel frames [I, T, M], T a multiple of p → T/p tokens; a token is valid when any of its frames is."""

    def __init__(self, patch: int, bands: int, length: int, width: int) -> None:
        super().__init__()
        self.patch = patch
        self.embed = PatchEmbedder("audio", patch * bands, length, width)

    def forward(self, items: Items, dtype: torch.dtype) -> Tokens:
        return self.embed(*self._patches(items), items.keep, dtype)

    def calibrate(self, items: Items) -> None:
        patches, valid = self._patches(items)
        self.embed.calibrate(patches[valid])

    def _patches(self, items: Items) -> tuple[Tensor, Tensor]:
        I, T, M = items.value.shape
        patches = items.value.reshape(I, T // self.patch, self.patch * M)
        return patches, items.valid.view(I, T // self.patch, self.patch).any(-1)
