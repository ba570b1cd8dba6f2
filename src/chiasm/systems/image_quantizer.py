"""Image quantiser: a picture as a grid of a few small codes, and back (finite scalar quantisation, Mentzer et al., arXiv 2309.15505).

Takes in     a picture
Trunk        residual convolutions at two resolutions, down to the grid of codes and up again
Objectives   the log of each picture's mean squared error: what PSNR is the mean of, up to a factor
Differs      several small codes a cell in place of one large one; no discriminator and no pretrained perceptual network
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from chiasm.batches.image_views import Picture
from chiasm.batches.task import Facts, Task
from chiasm.config import Positive, Section
from chiasm.nn.linear import Linear, RMSNorm
from chiasm.nn.local import LocalBlock, cells, uncells
from chiasm.nn.quantizer import Quantizer
from chiasm.systems.system import Measure, Published, Spec, System
from chiasm.types import Batch, Losses

FLOOR = 1e-4
"""The mean squared error (of values in 0 … 1) below which better earns little: 40 dB."""
COARSE = 2
"""How many fine cells a side of a code's cell has."""


class ImageQuantizerSize(Section):
    side: Positive = Field(default=64, description="pixels of a picture's sides")
    patch: Positive = Field(default=8, description="pixels of a code's cell; the picture becomes (side / patch)² cells")
    width: Positive = Field(default=128, description="channels on the grid of codes")
    fine_width: Positive = Field(default=48, description="channels on the grid twice as fine")
    depth: Positive = Field(default=2, description="blocks of the encoder, and of the decoder, on the grid of codes")
    fine_depth: Positive = Field(default=2, description="blocks of each on the grid twice as fine")
    groups: Positive = Field(default=2, description="codes a cell")
    levels: tuple[Annotated[int, Field(ge=2, le=64)], ...] = Field(
        default=(8, 5, 5, 5), min_length=1, description="of a code's channels; a code has their product of values"
    )

    @model_validator(mode="after")
    def _divides(self) -> ImageQuantizerSize:
        if self.patch % COARSE or self.side % self.patch:
            raise ValueError(f"patch {self.patch} must be even, and side {self.side} a multiple of it")
        return self


class ImageQuantizer(System):
    """side: pixels of a picture's sides · sizes: codes of each group · steps: cells of a picture, row by row."""

    def __init__(self, size: ImageQuantizerSize, facts: Facts) -> None:
        super().__init__()
        self.side = size.side
        self.grid, self.patch, self.fine = size.side // size.patch, size.patch // COARSE, size.fine_width
        self.quantizer = Quantizer(size.levels, size.groups)
        self.sizes, self.steps = self.quantizer.sizes, self.grid**2
        pixels = self.patch**2 * 3
        self.mean: Tensor
        self.deviation: Tensor
        self.register_buffer("mean", torch.tensor(0.5))
        self.register_buffer("deviation", torch.tensor(0.5))
        self.inward = Linear(pixels, size.fine_width)
        self.fine_encoder = _blocks(size.fine_width, size.fine_depth)
        self.down = Linear(COARSE**2 * size.fine_width, size.width)
        self.encoder = _blocks(size.width, size.depth)
        self.latent_norm = RMSNorm(size.width)
        self.to_latent = Linear(size.width, self.quantizer.width)
        self.from_latent = Linear(self.quantizer.width, size.width)
        self.decoder = _blocks(size.width, size.depth)
        self.up = Linear(size.width, COARSE**2 * size.fine_width)
        self.fine_decoder = _blocks(size.fine_width, size.fine_depth)
        self.norm = RMSNorm(size.fine_width)
        self.outward = Linear(size.fine_width, pixels)

    def losses(self, batch: Batch, dtype: torch.dtype) -> Losses:
        value = batch.items["image"].value
        found = self._pixels(self.quantizer(self._latents(value, dtype)), dtype)
        squared = (found - value.float() / 255).square().mean((1, 2, 3))
        return Losses({"log_error": (squared / FLOOR).log1p().mean()})

    def predict(self, batch: Batch, dtype: torch.dtype) -> Mapping[str, Tensor]:
        """image: the picture after its codes, [B, S, S, 3] in 0 … 255 · codes: [B, cells, G] · sizes: codes of each group, [G]."""
        codes = self.encode(batch.items["image"].value, dtype)
        return {
            "image": self.decode(codes, dtype),
            "codes": codes,
            "sizes": torch.tensor(self.sizes, device=codes.device),
        }

    @torch.no_grad()
    def encode(self, value: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """Pictures uint8 [I, S, S, 3] → codes int64 [I, cells, G], row by row."""
        return self.quantizer.encode(self._latents(value, dtype)).flatten(1, 2)

    @torch.no_grad()
    def decode(self, codes: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """Codes int64 [I, cells, G] → pictures uint8 [I, S, S, 3]. Raises ValueError for a code that there is not."""
        latents = self.quantizer.decode(codes).unflatten(1, (self.grid, self.grid))
        return (self._pixels(latents, dtype).clamp(0, 1) * 255).round().to(torch.uint8)

    def calibrate(self, batch: Batch) -> None:
        values = batch.items["image"].value.float() / 255
        self.mean.copy_(values.mean())
        self.deviation.copy_(values.std().clamp(min=0.05))

    def _latents(self, value: Tensor, dtype: torch.dtype) -> Tensor:
        """uint8 [I, S, S, 3] → float [I, grid, grid, width of the quantiser]."""
        x = ((value.float() / 255 - self.mean) / self.deviation).to(dtype)
        x = self.fine_encoder(self.inward(cells(x, self.patch)))
        return self.to_latent(self.latent_norm(self.encoder(self.down(cells(x, COARSE)))))

    def _pixels(self, latents: Tensor, dtype: torch.dtype) -> Tensor:
        """[I, grid, grid, width of the quantiser] → pixels float32 [I, S, S, 3], mostly in 0 … 1."""
        x = self.decoder(self.from_latent(latents.to(dtype)))
        x = self.fine_decoder(uncells(self.up(x), COARSE))
        return uncells(self.outward(self.norm(x)), self.patch).float() * self.deviation + self.mean


def _blocks(width: int, depth: int) -> nn.Sequential:
    return nn.Sequential(*(LocalBlock(width, plane=True) for _ in range(depth)))


def tasks(size: ImageQuantizerSize) -> tuple[Task, ...]:
    return (Task("reconstruction", (Picture(size.side, augment="shift_flip"),)),)


IMAGE_QUANTIZER = Spec(
    name="image_quantizer",
    title="Image quantiser",
    paper="Mentzer et al. 2023, arXiv 2309.15505",
    inputs=("image",),
    fusion="none",
    objectives=("log of each picture's squared error",),
    differs="several small codes a cell; no discriminator, no perceptual network",
    attends="no attention; each cell ↔ its neighbours, at two resolutions",
    tiny=ImageQuantizerSize(),
    published=Published(
        ImageQuantizerSize(
            side=128, patch=8, width=512, fine_width=256, depth=4, fine_depth=2, groups=1, levels=(8, 5, 5, 5)
        ),
        Facts(vocabulary=0),
        note="the paper has no model of its own to count: it puts the quantiser into others'; codes as its 2¹⁰ (table 1), 16 × 16 of them",
    ),
    tasks=tasks,
    make=ImageQuantizer,
    measure=Measure("reconstruction", "image", lambda size: Task("reconstruction", (Picture(size.side),))),
    training={"train": {"batch": 32}, "optimizer": {"learning_rate": 2e-3}},
)
