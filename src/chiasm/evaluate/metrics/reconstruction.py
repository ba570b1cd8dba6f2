"""How well something is got back from its codes: log-mel distance of sounds, use of the codes. Of pictures: pictures.py."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from chiasm.modalities.audio import HIGH, LOW

Floats = NDArray[np.float64]

DECIBELS = (HIGH - LOW) * 10 / 255
"""dB a step of a log-mel's uint8: 0.353."""


def mel_distance(a: NDArray[np.uint8], b: NDArray[np.uint8], valid: NDArray[np.bool_]) -> Floats:
    """Mean absolute difference of log-mels [n, T, M] over each sound's valid frames [n, T], in dB."""
    difference = np.abs(a.astype(np.float64) - b).mean(2) * valid
    return difference.sum(1) / valid.sum(1) * DECIBELS


def code_use(codes: NDArray[np.int64], size: int) -> tuple[float, float]:
    """(perplexity, share of the `size` codes that occur) of codes [n]: with all used alike, (size, 1)."""
    counts = np.bincount(codes, minlength=size)
    p = counts[counts > 0] / counts.sum()
    return float(np.exp(-(p * np.log(p)).sum())), float((counts > 0).mean())
