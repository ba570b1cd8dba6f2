"""The one table of modalities. A new modality is one more row (and its reader and embedder); the trunk does not change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from chiasm.config import ModelConfig
from chiasm.modalities.audio import HOP, MELS, RATE
from chiasm.modalities.embed import AudioEmbedder, ImageEmbedder, TextEmbedder, VideoEmbedder

SPREAD = 0.5
"""The standard deviation of positions at the start, in a stream of about unit variance: what lies somewhere is found by where it lies from
the first steps on (LOG.md, 46)."""


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


def word_scale(model: ModelConfig) -> float:
    """What vectors that also write are multiplied by where they are read: small as logits want them, they would be drowned in the
    stream by what the first block adds."""
    return model.width**0.5 if model.text.scale is None else model.text.scale


def _text(model: ModelConfig, vocabulary: int) -> TextEmbedder:
    return TextEmbedder(vocabulary, model.text.length, model.width, scale=word_scale(model), spread=0.3 * SPREAD)


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
            _text,
        ),
        Modality(
            "image",
            image_tokens,
            lambda m: m.image.layers,
            lambda m, v: ImageEmbedder(m.image.size, m.image.patch, m.width, spread=SPREAD),
        ),
        Modality(
            "audio",
            audio_tokens,
            lambda m: m.audio.layers,
            lambda m, v: AudioEmbedder(m.audio.patch, MELS, audio_tokens(m), m.width, SPREAD),
        ),
        Modality(
            "video",
            video_tokens,
            lambda m: m.video.layers,
            lambda m, v: VideoEmbedder(m.video.frames, m.video.tubelet, m.video.size, m.video.patch, m.width, SPREAD),
        ),
    )
}
