"""From a modality's tensors to tokens of the trunk's width: the trainable front of each modality.

Each takes Items and a compute type and gives Tokens. None draws random numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

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


def _rows(table: Tensor, index: Tensor, dtype: torch.dtype) -> Tensor:
    """The same values either way: gradients are summed in the compute type; without them, only the rows are cast (a decoder reads one)."""
    return F.embedding(index, table.to(dtype)) if torch.is_grad_enabled() else F.embedding(index, table).to(dtype)


def sinusoidal(length: int, width: int) -> Tensor:
    """Sines at even and cosines at odd places, wavelengths from 2π to 10,000·2π: float32 [L, D] (arXiv 1706.03762, 3.5)."""
    angle = torch.arange(length)[:, None] * 10000.0 ** -(torch.arange(0, width, 2) / width)
    return torch.stack([angle.sin(), angle.cos()], -1).flatten(1)[:, :width]


class _Norm(nn.Module):
    """Layer normalisation in x's type over float32 parameters."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], self.weight.to(x.dtype), self.bias.to(x.dtype), self.eps)


class _Affine(nn.Module):
    """y = x Wᵀ + b in x's type over float32 parameters."""

    def __init__(self, values: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(width, values) * values**-0.5)
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight.to(x.dtype), self.bias.to(x.dtype))


class TextEmbedder(nn.Module):
    """Token ids → learned vectors + positions (+ which segment of the sequence they belong to, BERT, arXiv 1810.04805, 3.1).

    segments: how many of them there are, 0 for none; an item that names none is in segment 0.
    norm: the ε of a layer normalisation of the sum, None for no such.
    positions: learned; sinusoidal, where vectors count √D-fold (arXiv 1706.03762, 3.4); or None, where the trunk brings them.
    scale: what words' vectors are multiplied by where positions are not sinusoidal. spread: the standard deviation of learned positions at the start.
    offset: the row of the position table at which position 0 stands (RoBERTa's is 2).
    """

    def __init__(
        self,
        vocabulary: int,
        length: int,
        width: int,
        *,
        segments: int = 0,
        norm: float | None = None,
        positions: str | None = "learned",
        offset: int = 0,
        scale: float = 1.0,
        spread: float = 0.02,
    ) -> None:
        super().__init__()
        self.length, self.offset = length, offset
        self.table = nn.Parameter(torch.randn(vocabulary, width) * 0.05)
        self.factor = scale
        self.positions: Tensor | None
        if positions == "learned":
            self.positions = nn.Parameter(torch.randn(length + offset, width) * spread)
        elif positions == "sinusoidal":
            self.factor = width**0.5
            with torch.no_grad():
                self.table.mul_(20 * width**-0.5)  # variance 1/D, so that vectors are as long as the sinusoids
            self.register_buffer("positions", sinusoidal(length + offset, width), persistent=False)
        elif positions is None:
            self.positions = None
        else:
            raise ValueError(f"positions must be learned, sinusoidal or None, not {positions!r}")
        self.segments = nn.Parameter(torch.randn(segments, width) * 0.02) if segments else None
        self.norm = None if norm is None else _Norm(width, norm)

    def forward(self, items: Items, dtype: torch.dtype, positions: Tensor | None = None) -> Tokens:
        """items.value: int64 [I, N], N ≤ length → Tokens [I, N or K, D].

        positions: int64 [1 or I, N], where the tokens stand if not at 0 … N−1 (a decoder's next chunk, padding on the left)."""
        x = _rows(self.table, items.value, dtype)
        if self.factor != 1:
            x = x * self.factor
        if self.positions is not None:
            if positions is None:
                x = x + self.positions[self.offset : self.offset + x.shape[1]].to(dtype)
            else:
                x = x + _rows(self.positions, positions + self.offset, dtype)
        if self.segments is not None:
            segment = torch.zeros_like(items.value) if items.segment is None else items.segment
            x = x + F.embedding(segment, self.segments.to(dtype))
        if self.norm is not None:
            x = self.norm(x)
        x, valid = _keep(x, items.valid, items.keep)
        return Tokens(x, valid, (("text", 0, x.shape[1]),))


class PatchEmbedder(nn.Module):
    """Non-overlapping patches, linearly projected, + learned positions (ViT, arXiv 2010.11929, 3.1).

    For pictures a patch is p × p pixels; for sounds it is p log-mel frames over all bands; for clips p × p pixels of several frames. Kept
    patches are chosen before the projection, so dropped ones cost nothing. A hidden patch has the value of the mean patch.

    moments: how often the `length` places come again, one time after the other; a position is then the sum of one in space and one in
    time. None: there is no time, or nothing else.
    class_token: a learned first token, position 0, that is always kept. norm: the ε of a layer normalisation of all (CLIP), or None.
    spread: the standard deviation of positions at the start.
    """

    def __init__(
        self,
        modality: str,
        patch_values: int,
        length: int,
        width: int,
        *,
        class_token: bool = False,
        bias: bool = True,
        norm: float | None = None,
        moments: int | None = None,
        spread: float = 0.05,
    ) -> None:
        super().__init__()
        self.modality = modality
        self.projection = nn.Parameter(torch.randn(width, patch_values) * patch_values**-0.5)
        self.bias = nn.Parameter(torch.zeros(width)) if bias else None
        # What the data look like, set once by `calibrate`; until then uint8 is taken to [−1, 1].
        self.mean: Tensor
        self.deviation: Tensor
        self.register_buffer("mean", torch.full((patch_values,), 127.5))
        self.register_buffer("deviation", torch.full((patch_values,), 127.5))
        self.positions = nn.Parameter(torch.randn(length + class_token, width) * spread)
        self.moments = None if moments is None else nn.Parameter(torch.randn(moments, width) * spread)
        self.class_token = nn.Parameter(torch.randn(width) * 0.05) if class_token else None
        self.norm = None if norm is None else _Norm(width, norm)

    @torch.no_grad()
    def calibrate(self, patches: Tensor) -> None:
        """Standardise by these samples, uint8 [n, C]: pictures are mostly background and sounds mostly quiet, and what all patches
        share would otherwise drown what tells them apart. Deviations are kept from vanishing where a value hardly varies."""
        values = patches.float()
        self.mean.copy_(values.mean(0))
        self.deviation.copy_(values.std(0).clamp(min=16.0))

    @torch.no_grad()
    def standardise(self, mean: Tensor, deviation: Tensor) -> None:
        """By fixed numbers instead, float [C] each, in units of uint8."""
        self.mean.copy_(mean)
        self.deviation.copy_(deviation)

    def forward(
        self, patches: Tensor, valid: Tensor, keep: Tensor | None, dtype: torch.dtype, hidden: Tensor | None = None
    ) -> Tokens:
        """patches: uint8 [I, N, C]; valid, hidden: bool [I, N] → Tokens [I, N or K, D], one more with a class token."""
        count = patches.shape[1]
        if hidden is not None:
            hidden = _keep(hidden[..., None], hidden, keep)[0]
        patches, valid = _keep(patches, valid, keep)
        # bfloat16 holds every integer up to 256 exactly, so the compute type loses nothing before the subtraction.
        x = patches.to(dtype).sub_(self.mean.to(dtype)).mul_((1 / self.deviation).to(dtype))
        if hidden is not None:
            x = x.masked_fill(hidden, 0)
        x = F.linear(x, self.projection.to(dtype), None if self.bias is None else self.bias.to(dtype))
        if self.moments is not None:
            places = (self.moments[:, None] + self.positions).flatten(0, 1)
            x = x + _positions(places, count, keep, dtype)
        elif self.class_token is None:
            x = x + _positions(self.positions, count, keep, dtype)
        else:
            x = x + _positions(self.positions[1:], count, keep, dtype)
            first = (self.class_token + self.positions[0]).to(dtype).expand(len(x), 1, -1)
            x = torch.cat([first, x], 1)
            valid = torch.cat([valid.any(1, keepdim=True), valid], 1)
        if self.norm is not None:
            x = self.norm(x)
        return Tokens(x, valid, ((self.modality, 0, x.shape[1]),))


class ImageEmbedder(nn.Module):
    """Pictures [I, S, S, 3] → (S/p)² tokens, after a class token where there is one."""

    def __init__(
        self,
        size: int,
        patch: int,
        width: int,
        *,
        class_token: bool = False,
        bias: bool = True,
        norm: float | None = None,
        spread: float = 0.05,
    ) -> None:
        super().__init__()
        if size % patch:
            raise ValueError(f"a picture of {size} pixels does not divide into patches of {patch}")
        self.size, self.patch = size, patch
        length = (size // patch) ** 2
        self.embed = PatchEmbedder(
            "image", patch * patch * 3, length, width, class_token=class_token, bias=bias, norm=norm, spread=spread
        )

    def forward(self, items: Items, dtype: torch.dtype) -> Tokens:
        patches = self._patches(items)
        return self.embed(patches, items.valid.expand(patches.shape[:2]), items.keep, dtype, items.hidden)

    def calibrate(self, items: Items) -> None:
        self.embed.calibrate(self._patches(items).flatten(0, 1))

    def standardise(self, mean: Sequence[float], deviation: Sequence[float]) -> None:
        """By fixed numbers for red, green and blue as shares of 255, e.g. ImageNet's, instead of the data's own."""
        values = torch.tensor([mean, deviation]).repeat(1, self.patch**2) * 255
        self.embed.standardise(*values)

    def _patches(self, items: Items) -> Tensor:
        I, n, p = items.value.shape[0], self.size // self.patch, self.patch
        return items.value.view(I, n, p, n, p, 3).permute(0, 1, 3, 2, 4, 5).reshape(I, n * n, p * p * 3)


class RegionEmbedder(nn.Module):
    """Regions of a picture: features and boxes, each linearly projected, summed and normed (UNITER, arXiv 1909.11740, 3.1).

    box_values: 4 (x0, y0, x1, y1), 5 (and area; ViLBERT, arXiv 1908.02265, 3.1) or 7 (and width, height, area; UNITER).
    norm: features and boxes are also normed each before they are summed (UNITER). Hidden regions have zeros for features.
    """

    def __init__(self, features: int, width: int, box_values: int = 7, norm: bool = True) -> None:
        super().__init__()
        if box_values not in (4, 5, 7):
            raise ValueError(f"box_values must be 4, 5 or 7, not {box_values}")
        self.box_values = box_values
        self.features = _Affine(features, width)
        self.boxes = _Affine(box_values, width)
        self.feature_norm: nn.Module = _Norm(width, 1e-12) if norm else nn.Identity()
        self.box_norm: nn.Module = _Norm(width, 1e-12) if norm else nn.Identity()
        self.norm = _Norm(width, 1e-12)

    def forward(self, items: Items, dtype: torch.dtype) -> Tokens:
        """items.value: float32 [I, R, F]; items.boxes: float32 [I, R, 4] → Tokens [I, R, D]."""
        if items.boxes is None:
            raise ValueError("regions come with boxes")
        features = items.value.to(dtype)
        if items.hidden is not None:
            features = features.masked_fill(items.hidden[..., None], 0)
        x = self.feature_norm(self.features(features)) + self.box_norm(self.boxes(self._places(items.boxes).to(dtype)))
        return Tokens(self.norm(x), items.valid, (("regions", 0, x.shape[1]),))

    def _places(self, boxes: Tensor) -> Tensor:
        """[I, R, 4] → [I, R, box_values]."""
        if self.box_values == 4:
            return boxes
        size = boxes[..., 2:] - boxes[..., :2]
        area = size.prod(-1, keepdim=True)
        return torch.cat([boxes, area] if self.box_values == 5 else [boxes, size, area], -1)


class AudioEmbedder(nn.Module):
    """Log-mel frames [I, T, M], T a multiple of p → T/p tokens; a token is valid when any of its frames is."""

    def __init__(self, patch: int, bands: int, length: int, width: int, spread: float = 0.05) -> None:
        super().__init__()
        self.patch = patch
        self.embed = PatchEmbedder("audio", patch * bands, length, width, spread=spread)

    def forward(self, items: Items, dtype: torch.dtype) -> Tokens:
        return self.embed(*self._patches(items), items.keep, dtype)

    def calibrate(self, items: Items) -> None:
        patches, valid = self._patches(items)
        self.embed.calibrate(patches[valid])

    def _patches(self, items: Items) -> tuple[Tensor, Tensor]:
        I, T, M = items.value.shape
        patches = items.value.reshape(I, T // self.patch, self.patch * M)
        return patches, items.valid.view(I, T // self.patch, self.patch).any(-1)


class VideoEmbedder(nn.Module):
    """Clips [I, F, S, S, 3] → F/t · (S/p)² tokens of t frames × p × p pixels each, time by time (tubelets: ViViT, arXiv 2103.15691, 3.2), with
    learned positions in space and in time. A token is valid when any of its frames is."""

    def __init__(self, frames: int, tubelet: int, size: int, patch: int, width: int, spread: float = 0.05) -> None:
        super().__init__()
        if size % patch or frames % tubelet:
            raise ValueError(
                f"{frames} frames of {size} pixels do not divide into tubelets of {tubelet} frames of {patch} pixels"
            )
        self.frames, self.tubelet, self.size, self.patch = frames, tubelet, size, patch
        values, length = tubelet * patch * patch * 3, (size // patch) ** 2
        self.embed = PatchEmbedder("video", values, length, width, moments=frames // tubelet, spread=spread)

    def forward(self, items: Items, dtype: torch.dtype) -> Tokens:
        """items.value: uint8 [I, F, S, S, 3]; items.valid: bool [I, F] → Tokens [I, N or K, D]."""
        return self.embed(*self._patches(items), items.keep, dtype, items.hidden)

    def calibrate(self, items: Items) -> None:
        patches, valid = self._patches(items)
        self.embed.calibrate(patches[valid])

    def _patches(self, items: Items) -> tuple[Tensor, Tensor]:
        I, T, t, n, p = len(items.value), self.frames // self.tubelet, self.tubelet, self.size // self.patch, self.patch
        tubelets = items.value.view(I, T, t, n, p, n, p, 3).permute(0, 1, 3, 5, 2, 4, 6, 7)
        valid = items.valid.view(I, T, t).any(-1).repeat_interleave(n * n, 1)
        return tubelets.reshape(I, T * n * n, t * p * p * 3), valid
