"""From encoded media to the arrays that batches hold, under a model's configuration."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from chiasm.config import ModelConfig
from chiasm.modalities.audio import HOP, MELS, RATE, log_mel, read_audio
from chiasm.modalities.image import read_image
from chiasm.modalities.video import read_video


def prepare_image(data: bytes, model: ModelConfig) -> NDArray[np.uint8]:
    """uint8 [S, S, 3]."""
    return read_image(data, size=model.image.size)


def prepare_audio(data: bytes, model: ModelConfig) -> NDArray[np.uint8]:
    """Log-mel uint8 [T, M], at most `audio.seconds` long."""
    frames = int(model.audio.seconds * RATE / HOP) // model.audio.patch * model.audio.patch
    return log_mel(read_audio(data, seconds=model.audio.seconds))[:frames]


def prepare_video(data: bytes, model: ModelConfig) -> NDArray[np.uint8]:
    """uint8 [F, S, S, 3], taken evenly from at most `video.seconds`."""
    return read_video(data, model.video.size, model.video.frames, model.video.seconds)


def decoder(modality: str, model: ModelConfig) -> tuple[Callable[[bytes], NDArray[np.uint8]], tuple[int, ...], int]:
    """How `modality` is prepared, the shape of its arrays behind the first axis, and the most bytes one takes."""
    if modality == "image":
        S = model.image.size
        return (lambda data: prepare_image(data, model)), (S, 3), S * S * 3
    if modality == "audio":
        return (
            (lambda data: prepare_audio(data, model)),
            (MELS,),
            int(model.audio.seconds * RATE / HOP) * MELS,
        )
    if modality == "video":
        side = model.video.size
        return (lambda data: prepare_video(data, model)), (side, side, 3), model.video.frames * side * side * 3
    raise ValueError(f"{modality!r} has no prepared form")
