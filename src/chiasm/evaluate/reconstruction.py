"""How well something is got back from its codes: PSNR and SSIM of pictures, log-mel distance of sounds, use of the codes. Pure functions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from chiasm.modalities.audio import HIGH, LOW

Floats = NDArray[np.float64]

DECIBELS = (HIGH - LOW) * 10 / 255
"""dB a step of a log-mel's uint8: 0.353."""
DEVIATION, RADIUS = 1.5, 5
"""SSIM's Gaussian window, in pixels: 11 × 11 (Wang et al. 2004, section III-B)."""
LOWEST_ERROR = 1e-10
"""Mean squared error (of values in 0 … 1) at which PSNR ends, 100 dB: equal pictures have no finite one."""


def psnr(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> Floats:
    """Peak signal-to-noise ratio of each pair of pictures [n, H, W, C], in dB; 100 where they are equal."""
    error = np.square((a.astype(np.float64) - b) / 255).mean((1, 2, 3))
    return -10 * np.log10(np.maximum(error, LOWEST_ERROR))


def ssim(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> Floats:
    """Structural similarity of each pair of pictures [n, H, W, C], H and W at least 11: the mean over channels and over the places where the
    whole window lies in the picture (Wang et al. 2004, Eq. 13; K₁ = 0.01, K₂ = 0.03)."""
    x, y = a.astype(np.float64) / 255, b.astype(np.float64) / 255
    mx, my = _smooth(x), _smooth(y)
    vx, vy, cov = _smooth(x * x) - mx * mx, _smooth(y * y) - my * my, _smooth(x * y) - mx * my
    c1, c2 = 0.01**2, 0.03**2
    similar = (2 * mx * my + c1) * (2 * cov + c2) / ((mx * mx + my * my + c1) * (vx + vy + c2))
    return similar.mean((1, 2, 3))


def mel_distance(a: NDArray[np.uint8], b: NDArray[np.uint8], valid: NDArray[np.bool_]) -> Floats:
    """Mean absolute difference of log-mels [n, T, M] over each sound's valid frames [n, T], in dB."""
    difference = np.abs(a.astype(np.float64) - b).mean(2) * valid
    return difference.sum(1) / valid.sum(1) * DECIBELS


def code_use(codes: NDArray[np.int64], size: int) -> tuple[float, float]:
    """(perplexity, share of the `size` codes that occur) of codes [n]: with all used alike, (size, 1)."""
    counts = np.bincount(codes, minlength=size)
    p = counts[counts > 0] / counts.sum()
    return float(np.exp(-(p * np.log(p)).sum())), float((counts > 0).mean())


def _smooth(x: Floats) -> Floats:
    """The Gaussian mean at every place where the window fits: [n, H, W, C] → [n, H−10, W−10, C]."""
    taps = np.exp(-0.5 * (np.arange(-RADIUS, RADIUS + 1) / DEVIATION) ** 2)
    taps /= taps.sum()
    for axis in (1, 2):
        x = np.lib.stride_tricks.sliding_window_view(x, len(taps), axis) @ taps
    return x
