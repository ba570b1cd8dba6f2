"""What the linear baseline sees of an item: small pictures, coarse spectrograms, a few small frames, the text itself."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from chiasm.modalities.audio import log_mel, read_audio
from chiasm.modalities.image import read_image
from chiasm.modalities.video import read_video

PICTURE = 24
"""Side, in pixels, of the baseline's pictures."""
CLIP, CLIP_FRAMES = 16, 4
"""Side and number of the frames by which the baseline knows a clip."""
FRAMES = 24
"""Equal stretches of time that the baseline divides a sound into."""
SECONDS = 10
"""Sound beyond this is not heard, and a clip not seen: a coarser grid would blur the beginning too."""


def read_raw(modality: str, content: str | bytes) -> Any:
    """Text: the string. Image: uint8 [24 · 24 · 3]. Audio: float16 [24 · M], the mean log-mel of each stretch
    of time. Video: uint8 [4 · 16 · 16 · 3].

    Raises MediaError where the medium cannot be read.
    """
    if isinstance(content, str):
        return content
    if modality == "image":
        return read_image(content, PICTURE).reshape(-1)
    if modality == "video":
        return read_video(content, CLIP, CLIP_FRAMES, SECONDS).reshape(-1)
    return coarse_mel(log_mel(read_audio(content, SECONDS))).reshape(-1)


def coarse_mel(mel: NDArray[np.uint8]) -> NDArray[np.float16]:
    """Mean over FRAMES equal stretches: [T, M] to [FRAMES, M]; a sound of fewer frames repeats them."""
    edges = np.linspace(0, len(mel), FRAMES + 1)
    starts = np.minimum(edges[:-1].astype(np.int64), len(mel) - 1)
    stops = np.maximum(np.ceil(edges[1:]).astype(np.int64), starts + 1)
    sums = np.concatenate((np.zeros((1, mel.shape[1])), np.cumsum(mel, axis=0, dtype=np.float64)))
    return ((sums[stops] - sums[starts]) / (stops - starts)[:, None]).astype(np.float16)
