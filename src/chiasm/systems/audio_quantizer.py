"""Audio quantiser: a log-mel spectrogram as a few small codes 25 times a second, and back (finite scalar quantisation, arXiv 2309.15505).

Takes in     a sound as log-mel frames
Trunk        residual convolutions over the steps of four frames
Objectives   mean absolute error of the log-mel, in dB
Differs      several small codes a step; the spectrogram and not the waveform (a vocoder follows: modalities/vocoder.py)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from chiasm.batches.sound_views import Sound
from chiasm.batches.task import Facts, Task
from chiasm.config import Positive, Section
from chiasm.modalities.audio import HIGH, LOW, MELS
from chiasm.nn.linear import Linear, RMSNorm
from chiasm.nn.local import LocalBlock
from chiasm.nn.quantizer import Quantizer
from chiasm.systems.system import Measure, Published, Spec, System
from chiasm.types import Batch, Losses

DECIBELS = (HIGH - LOW) * 10 / 255
"""dB a step of the log-mel's uint8."""
LEAST = 8.0
"""Deviation, in steps of uint8, below which a band is not scaled up further."""


class AudioQuantizerSize(Section):
    frames: Positive = Field(default=4, description="log-mel frames (10 ms each) a step of codes")
    width: Positive = 192
    depth: Positive = Field(default=2, description="blocks of the encoder, and of the decoder")
    groups: Positive = Field(default=3, description="codes a step")
    levels: tuple[Annotated[int, Field(ge=2, le=64)], ...] = Field(
        default=(8, 8, 8), min_length=1, description="of a code's channels; a code has their product of values"
    )
    seconds: Annotated[float, Field(gt=0, le=60)] = Field(default=10.0, description="longer sounds are cut")
    crop: Positive = Field(default=128, description="frames of a sound that a training step looks at")


class AudioQuantizer(System):
    """sizes: codes of each group · frames_per_step: log-mel frames that a step's codes stand for."""

    def __init__(self, size: AudioQuantizerSize, facts: Facts) -> None:
        super().__init__()
        self.quantizer = Quantizer(size.levels, size.groups)
        self.sizes, self.frames_per_step = self.quantizer.sizes, size.frames
        values = size.frames * MELS
        self.mean: Tensor
        self.deviation: Tensor
        self.register_buffer("mean", torch.full((MELS,), 127.5))
        self.register_buffer("deviation", torch.full((MELS,), 64.0))
        self.inward = Linear(values, size.width)
        self.encoder = _blocks(size.width, size.depth)
        self.latent_norm = RMSNorm(size.width)
        self.to_latent = Linear(size.width, self.quantizer.width)
        self.from_latent = Linear(self.quantizer.width, size.width)
        self.decoder = _blocks(size.width, size.depth)
        self.norm = RMSNorm(size.width)
        self.outward = Linear(size.width, values)

    def losses(self, batch: Batch, dtype: torch.dtype) -> Losses:
        items = batch.items["audio"]
        latents, steps = self._latents(items.value, items.valid, dtype)
        found = self._frames(self.quantizer(latents), steps, dtype)
        error = (found - items.value.float()).abs().mean(-1) * items.valid
        return Losses({"decibels": error.sum() / items.valid.sum().clamp(min=1) * DECIBELS})

    def predict(self, batch: Batch, dtype: torch.dtype) -> Mapping[str, Tensor]:
        """audio: the log-mel after its codes, [B, T, 80] in 0 … 255 · codes: [B, T/frames, G], −1 where no frame is valid ·
        sizes: codes of each group, [G]."""
        items = batch.items["audio"]
        codes = self.encode(items.value, items.valid, dtype)
        shown = self.decode(codes, items.valid, dtype)
        real = self._steps(items.valid)[..., None]
        return {
            "audio": shown,
            "codes": codes.masked_fill(~real, -1),
            "sizes": torch.tensor(self.sizes, device=codes.device),
        }

    @torch.no_grad()
    def encode(self, value: Tensor, valid: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """Log-mel uint8 [I, T, 80], T a multiple of `frames_per_step`; valid: bool [I, T] → codes int64 [I, T / frames_per_step, G], 0 where
        no frame is valid. What is not valid changes nothing of what is."""
        latents, steps = self._latents(value, valid, dtype)
        return self.quantizer.encode(latents) * steps[..., None]

    @torch.no_grad()
    def decode(self, codes: Tensor, valid: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """Codes int64 [I, T / frames_per_step, G]; valid: bool [I, T] → log-mel uint8 [I, T, 80], silence (0) where it is not valid.

        Raises ValueError for a code that there is not."""
        frames = self._frames(self.quantizer.decode(codes), self._steps(valid), dtype)
        return (frames.clamp(0, 255).round() * valid[..., None]).to(torch.uint8)

    def calibrate(self, batch: Batch) -> None:
        items = batch.items["audio"]
        frames = items.value[items.valid].float()
        self.mean.copy_(frames.mean(0))
        self.deviation.copy_(frames.std(0).clamp(min=LEAST))

    def _steps(self, valid: Tensor) -> Tensor:
        """bool [I, T] → [I, T / frames_per_step]: whether any frame of the step is valid."""
        return valid.unflatten(1, (-1, self.frames_per_step)).any(-1)

    def _latents(self, value: Tensor, valid: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """→ float [I, steps, width of the quantiser], and which steps are valid."""
        steps = self._steps(valid)
        x = ((value.float() - self.mean) / self.deviation * valid[..., None]).to(dtype)
        x = self.inward(x.unflatten(1, (-1, self.frames_per_step)).flatten(2))
        for block in self.encoder:
            x = block(x, steps)
        return self.to_latent(self.latent_norm(x)), steps

    def _frames(self, latents: Tensor, steps: Tensor, dtype: torch.dtype) -> Tensor:
        """[I, steps, width of the quantiser] → log-mel float32 [I, T, 80], mostly in 0 … 255."""
        x = self.from_latent(latents.to(dtype))
        for block in self.decoder:
            x = block(x, steps)
        x = self.outward(self.norm(x)).float().unflatten(2, (self.frames_per_step, MELS)).flatten(1, 2)
        return x * self.deviation + self.mean


def _blocks(width: int, depth: int) -> nn.ModuleList:
    return nn.ModuleList(LocalBlock(width, plane=False) for _ in range(depth))


def tasks(size: AudioQuantizerSize) -> tuple[Task, ...]:
    return (Task("reconstruction", (Sound(size.seconds, size.frames, crop=size.crop),)),)


AUDIO_QUANTIZER = Spec(
    name="audio_quantizer",
    title="Audio quantiser",
    paper="Mentzer et al. 2023, arXiv 2309.15505",
    inputs=("audio",),
    fusion="none",
    objectives=("mean absolute error of the log-mel (dB)",),
    differs="several small codes a step of 40 ms; no discriminator; the vocoder is apart",
    attends="no attention; each step ↔ its neighbours in time",
    tiny=AudioQuantizerSize(),
    published=Published(
        AudioQuantizerSize(width=768, depth=4, groups=1, levels=(8, 5, 5, 5)),
        Facts(vocabulary=0),
        note="the paper quantises pictures and has no model of its own to count; codes as its 2¹⁰ (table 1)",
    ),
    tasks=tasks,
    make=AudioQuantizer,
    measure=Measure(
        "reconstruction", "audio", lambda size: Task("reconstruction", (Sound(size.seconds, size.frames),))
    ),
    training={"train": {"batch": 64}, "optimizer": {"learning_rate": 2e-3}},
)
