"""The one table of modalities. A new modality is one more row (and its reader and embedder); the trunk does not change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from chiasm.config import ModelConfig
from chiasm.modalities.audio import HOP, MELS, RATE
from chiasm.modalities.embed import AudioEmbedder, ImageEmbedder, TextEmbedder, VideoEmbedder


@dataclass(frozen=True, slots=True)
class Modality:
    """What the system needs to know of a modality.

    tokens: the longest sequence it makes under a configuration · layers: the blocks it passes, None for all
    embedder: its trainable front, given the vocabulary's size
    """

    name: str
    tokens: Callable[[ModelConfig], int]
    layers: Callable[[ModelConfig], int | None]
    embedder: Callable[[ModelConfig, int], nn.Module]


def audio_tokens(model: ModelConfig) -> int:
    return -(-int(model.audio.seconds * RATE / HOP) // model.audio.patch)


def image_tokens(model: ModelConfig) -> int:
    return (model.image.size // model.image.patch) ** 2


def video_tokens(model: ModelConfig) -> int:
    return model.video.frames // model.video.tubelet * (model.video.size // model.video.patch) ** 2


MODALITY_TABLE: dict[str, Modality] = {
    row.name: row
    for row in (
        Modality(
            "text",
            lambda m: m.text.length,
            lambda m: m.text.layers,
            lambda m, v: TextEmbedder(v, m.text.length, m.width),
        ),
        Modality(
            "image",
            image_tokens,
            lambda m: m.image.layers,
            lambda m, v: ImageEmbedder(m.image.size, m.image.patch, m.width),
        ),
        Modality(
            "audio",
            audio_tokens,
            lambda m: m.audio.layers,
            lambda m, v: AudioEmbedder(m.audio.patch, MELS, audio_tokens(m), m.width),
        ),
        Modality(
            "video",
            video_tokens,
            lambda m: m.video.layers,
            lambda m, v: VideoEmbedder(m.video.frames, m.video.tubelet, m.video.size, m.video.patch, m.width),
        ),
    )
}
