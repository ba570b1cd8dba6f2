"""A recogniser that judges synthesised speech: it learns words from recordings alone and never meets the synthesiser.

Letters: n recordings · T frames of 10 ms · M = 80 mel bands · C labels · B recordings in a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from chiasm.errors import DataError
from chiasm.modalities.audio import HIGH, LOW, MELS

Mel = NDArray[np.uint8]
Float = NDArray[np.float64]
Frames = NDArray[np.float32]

WIDTH = 96
GROUPS = 8
EPOCHS = 12
BATCH = 32
LEARNING_RATE = 3e-3
MOST_FRAMES = 300
"""Frames of a recording that are heard: 3 s, more than a word takes."""

_DECIBEL = 255 / (10 * (HIGH - LOW))
"""Steps of the quantised spectrogram in a decibel."""
_SPEECH = 40.0
_FLOOR = 60.0
"""Decibels below a recording's level: ends quieter than the first are no speech; what is quieter than the second is not heard."""

_LOUDEST = 40
"""Values whose mean is a recording's level."""


@dataclass(frozen=True, slots=True)
class SpeechJudge:
    """Names what is said in a log-mel spectrogram, one of the labels that it was fitted to."""

    labels: tuple[str, ...]
    network: nn.Module

    @classmethod
    def fit(cls, mels: Sequence[Mel], labels: Sequence[str], *, seed: int = 0, epochs: int = EPOCHS) -> SpeechJudge:
        """Learn from recordings. mels: n × uint8 [T, 80] as `modalities.audio.log_mel` makes them; labels: n.

        Equal arguments give equal judges on one machine and number of threads; torch's global randomness stays untouched.
        Raises DataError where the lengths differ, a spectrogram is not of that shape, or there are fewer than two labels.
        """
        names = tuple(sorted(set(labels)))
        if len(mels) != len(labels) or len(names) < 2:
            raise DataError(
                f"a judge needs a label for each of {len(mels)} recordings, got {len(labels)} ({len(names)} different)"
            )
        number = {name: place for place, name in enumerate(names)}
        target = np.array([number[one] for one in labels])
        heard = [_heard(one) for one in mels]
        rng = np.random.default_rng(seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = _Recogniser(len(names))
        steps = epochs * -(-len(heard) // BATCH)
        optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=0.02)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
        for _ in range(epochs):
            order = rng.permutation(len(heard))
            for start in range(0, len(order), BATCH):
                rows = order[start : start + BATCH]
                logits = network(*_collate([_varied(heard[row], rng) for row in rows]))
                loss = F.cross_entropy(logits, torch.from_numpy(target[rows]), label_smoothing=0.1)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
        return cls(names, network.eval())

    @torch.no_grad()
    def probabilities(self, mels: Sequence[Mel]) -> Float:
        """How likely each recording says each of `labels`: [n, C], rows summing to 1."""
        parts = [
            self.network(*_collate([_heard(one) for one in mels[start : start + BATCH]])).double().softmax(1).numpy()
            for start in range(0, len(mels), BATCH)
        ]
        return np.concatenate(parts) if parts else np.zeros((0, len(self.labels)))

    def name(self, mels: Sequence[Mel]) -> list[str]:
        """The likeliest label of each recording."""
        return [self.labels[place] for place in self.probabilities(mels).argmax(1)]

    def right(self, mels: Sequence[Mel], labels: Sequence[str]) -> Float:
        """Whether each recording is heard as its label: 0 or 1, [n]. Raises DataError where the lengths differ."""
        if len(mels) != len(labels):
            raise DataError(f"{len(mels)} recordings and {len(labels)} labels: give each its own")
        heard = self.name(mels)
        return np.array([float(one == wanted) for one, wanted in zip(heard, labels, strict=True)], dtype=np.float64)

    def accuracy(self, mels: Sequence[Mel], labels: Sequence[str]) -> float:
        """Share of the recordings that are heard as their label; 0 for none."""
        return float(self.right(mels, labels).mean()) if len(mels) else 0.0


class _Recogniser(nn.Module):
    """Convolutions over time with the bands as channels (time-delay network: Waibel et al. 1989), then the mean and the greatest value
    over the frames."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.first = nn.Conv1d(MELS, WIDTH, 5, stride=2, padding=2)
        self.later = nn.ModuleList(nn.Conv1d(WIDTH, WIDTH, 5, padding=2 * far, dilation=far) for far in (1, 2, 3))
        self.norms = nn.ModuleList(_Norm() for _ in range(1 + len(self.later)))
        self.name = nn.Linear(2 * WIDTH, classes)

    def forward(self, mel: Tensor, length: Tensor) -> Tensor:
        """mel: float32 [B, M, T], 0 beyond its length; length: int64 [B], frames that are real → logits [B, C].

        What lies beyond a recording's end is kept at 0, as the convolutions' own padding is: the longer ones of a batch change nothing.
        """
        x = self.first(mel)
        real = (torch.arange(x.shape[2]) < ((length + 1) // 2)[:, None])[:, None]
        x = F.gelu(self.norms[0](x, real)) * real
        for layer, norm in zip(self.later, list(self.norms)[1:], strict=True):
            x = x + F.gelu(norm(layer(x), real)) * real
        mean = x.sum(2) / real.sum(2)
        return self.name(torch.cat([mean, x.masked_fill(~real, -torch.inf).amax(2)], dim=1))


class _Norm(nn.Module):
    """Group normalisation (arXiv 1803.08494) over the real frames of each recording."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(WIDTH, 1))
        self.bias = nn.Parameter(torch.zeros(WIDTH, 1))

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        """x: [B, WIDTH, T]; real: bool [B, 1, T]."""
        grouped, mask = x.unflatten(1, (GROUPS, -1)), real[:, None]
        count = mask.sum((2, 3), keepdim=True) * grouped.shape[2]
        centred = (grouped - (grouped * mask).sum((2, 3), keepdim=True) / count) * mask
        variance = centred.square().sum((2, 3), keepdim=True) / count
        return (centred * torch.rsqrt(variance + 1e-5)).flatten(1, 2) * self.weight + self.bias


def _heard(mel: Mel) -> Frames:
    """uint8 [T, M] → float32 [T', M], 0 … about 2: above the floor below the recording's own level, so that loudness and a faint noise say
    nothing, without the silence at its ends."""
    if mel.ndim != 2 or mel.shape[1] != MELS or not len(mel):
        raise DataError(f"a judge hears log-mel spectrograms [T, {MELS}], got {mel.shape}")
    value = mel.astype(np.float32) / np.float32(_DECIBEL)
    level = np.partition(value.ravel(), -_LOUDEST)[
        -_LOUDEST:
    ].mean()  # silence around the word must not change it, so no quantile
    (loud,) = np.nonzero(value.max(1) >= level - _SPEECH)
    value = value[loud[0] : loud[-1] + 1][:MOST_FRAMES]
    return np.maximum((value - level + _FLOOR) / 40, 0).astype(np.float32)


def _varied(value: Frames, rng: np.random.Generator) -> Frames:
    """The same word by another voice in another room: faster or slower, moved along the bands (a longer or shorter vocal tract; Jaitly &
    Hinton 2013), blurred or noisy, with bands and frames hidden (SpecAugment, arXiv 1904.08779)."""
    place = np.arange(0, len(value) - 0.5, rng.uniform(0.8, 1.25))
    band = np.clip(np.arange(MELS) + rng.integers(-4, 5), 0, MELS - 1)
    value = value[np.minimum(place + rng.uniform(0, 1), len(value) - 1).astype(np.int64)][:, band]
    if rng.random() < 0.4:
        for axis in (0, 1):
            value = ((np.roll(value, 1, axis) + 2 * value + np.roll(value, -1, axis)) / 4).astype(np.float32)
    value = value + rng.normal(0, rng.uniform(0, 0.15), value.shape).astype(np.float32)
    low, frame = rng.integers(0, MELS - 8), rng.integers(0, len(value))
    value[:, low : low + rng.integers(0, 9)] = 0.5
    value[frame : frame + rng.integers(0, max(2, len(value) // 6))] = 0.5
    return value.astype(np.float32)


def _collate(values: Sequence[Frames]) -> tuple[Tensor, Tensor]:
    """→ float32 [B, M, T], padded with 0; int64 [B], the frames of each."""
    length = np.array([len(one) for one in values], dtype=np.int64)
    padded = np.zeros((len(values), int(length.max()), MELS), dtype=np.float32)
    for row, one in zip(padded, values, strict=True):
        row[: len(one)] = one
    return torch.from_numpy(padded).transpose(1, 2).contiguous(), torch.from_numpy(length)
