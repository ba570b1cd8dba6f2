"""Changes that leave the meaning alone, on whole batches of decoded media. Every draw comes from numbers that are handed in."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Pictures = NDArray[np.uint8]
Uniform = NDArray[np.float64]

PICTURE_DRAWS = 4
SOUND_DRAWS = 8


def augment_pictures(x: Pictures, u: Uniform, strength: float, flip: bool) -> Pictures:
    """x: [I, S, S, 3]; u: uniform [I, PICTURE_DRAWS] → the same shape, shifted and tinted.

    At strength 1: up to a twelfth of the side in each direction, by whole pixels, and up to 10 % in contrast. What moves in is white.
    (Rescaling was tried and left out: at 48 pixels, its resampling costs more detail than the variety is worth; LOG.md.)
    """
    I, S = x.shape[:2]
    centred = 2 * u - 1
    shift = np.rint(centred[:, :2] * strength * S / 12).astype(np.int64)
    grid = np.arange(S)
    ys, xs = grid[None] - shift[:, :1], grid[None] - shift[:, 1:]
    if flip:
        xs = np.where(u[:, 2, None] < 0.5, S - 1 - xs, xs)
    inside = ((ys >= 0) & (ys < S))[:, :, None] & ((xs >= 0) & (xs < S))[:, None, :]
    moved = x[np.arange(I)[:, None, None], ys.clip(0, S - 1)[:, :, None], xs.clip(0, S - 1)[:, None, :]]
    moved[~inside] = 255
    # A table of 256 values a picture: distance from white, up or down.
    gain = 1 + 0.1 * strength * centred[:, 3]
    table = np.clip(255 - (255 - np.arange(256))[None] * gain[:, None], 0, 255).astype(np.uint8)
    return table[np.arange(I)[:, None, None, None], moved]


def augment_sound(x: Pictures, u: Uniform, strength: float) -> Pictures:
    """x: [T, M] log-mel; u: uniform [SOUND_DRAWS] → a copy with two bands and a stretch of time silenced (SpecAugment, arXiv
    1904.08779; at strength 1 up to 16 bands and a tenth of the time each) and its level moved by up to 6 dB.

    Silence is 0, the floor of the log-mel's range.
    """
    T, M = x.shape
    out = np.clip(x.astype(np.int16) + np.int16(round(15 * strength * (2 * u[6] - 1))) * (x > 0), 0, 255).astype(
        np.uint8
    )
    for width, start in ((u[0], u[1]), (u[2], u[3])):
        size = int(width * strength * 16)
        first = int(start * (M - size))
        out[:, first : first + size] = 0
    size = int(u[4] * strength * T / 10)
    first = int(u[5] * (T - size))
    out[first : first + size] = 0
    return out


def keep_tokens(u: Uniform, drop: float) -> NDArray[np.int64] | None:
    """u: uniform [I, N] → the indices of the tokens that stay, [I, round((1 − drop)·N)] in order, or None for all."""
    N = u.shape[1]
    K = max(round((1 - drop) * N), 1)
    if K == N:
        return None
    return np.sort(np.argpartition(u, K - 1, axis=1)[:, :K], axis=1)
