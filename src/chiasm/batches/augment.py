"""Changes that leave the meaning alone, on whole batches of decoded media. Every draw comes from numbers that are handed in."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from chiasm.modalities.augment_audio import silenced
from chiasm.modalities.augment_image import OPERATIONS, apply_operations, draw_operations

Pictures = NDArray[np.uint8]
Uniform = NDArray[np.float64]

PICTURE_DRAWS = 4
SOUND_DRAWS = 9
RAND_DRAWS = 4


def shifts(u: Uniform, strength: float, size: int, step: int = 1) -> NDArray[np.int64]:
    """How far `augment_pictures` moves pictures of `size` pixels down and to the right, in pixels: [I, 2], multiples of `step`."""
    return np.rint((2 * u[:, :2] - 1) * strength * size / 12 / step).astype(np.int64) * step


def augment_pictures(x: Pictures, u: Uniform, strength: float, flip: bool, step: int = 1) -> Pictures:
    """x: [I, S, S, 3]; u: uniform [I, PICTURE_DRAWS] → the same shape, shifted and tinted.

    At strength 1: up to a twelfth of the side in each direction, by whole pixels, and up to 10 % in contrast. What moves in is white.
    (Rescaling was tried and left out: at 48 pixels, its resampling costs more detail than the variety is worth; LOG.md.)
    """
    I, S = x.shape[:2]
    shift = shifts(u, strength, S, step)
    grid = np.arange(S)
    ys, xs = grid[None] - shift[:, :1], grid[None] - shift[:, 1:]
    if flip:
        xs = np.where(u[:, 2, None] < 0.5, S - 1 - xs, xs)
    inside = ((ys >= 0) & (ys < S))[:, :, None] & ((xs >= 0) & (xs < S))[:, None, :]
    moved = x[np.arange(I)[:, None, None], ys.clip(0, S - 1)[:, :, None], xs.clip(0, S - 1)[:, None, :]]
    moved[~inside] = 255
    # A table of 256 values a picture: distance from white, up or down.
    gain = 1 + 0.1 * strength * (2 * u[:, 3] - 1)
    table = np.clip(255 - (255 - np.arange(256))[None] * gain[:, None], 0, 255).astype(np.uint8)
    return table[np.arange(I)[:, None, None, None], moved]


def rand_augment(x: Pictures, u: Uniform, magnitude: float) -> Pictures:
    """x: [I, S, S, 3]; u: uniform [I, RAND_DRAWS] → the same shape, each picture changed by two of RandAugment's operations (arXiv 1909.13719) at
    `magnitude`, 0 … 30."""
    names = tuple(OPERATIONS)
    return np.stack([apply_operations(one, draw_operations(v, magnitude, names)) for one, v in zip(x, u, strict=True)])


def augment_sound(x: Pictures, u: Uniform, strength: float, limit: int | None = None) -> Pictures:
    """x: [T, M] log-mel; u: uniform [SOUND_DRAWS] → a copy by another voice at another pace, with two bands and a stretch of time silenced
    and its level moved. [T', M], T' at most `limit` frames.

    At strength 1: the frequency axis warped by up to 15 % (vocal tract length perturbation, Jaitly and Hinton 2013), up to 20 % faster or slower
    (Ko et al. 2015), two bands of up to 16 mel bands and a tenth of the time (SpecAugment, arXiv 1904.08779), 6 dB. Silence is 0, the floor of
    the log-mel's range.
    """
    warp, pace = (1 + most * strength * (2 * value - 1) for most, value in ((0.15, u[7]), (0.2, u[8])))
    size = max(round(len(x) * pace), 1)
    values = _resampled(_resampled(x.astype(np.float32), size, pace), x.shape[1], warp, axis=1)[:limit]
    T, M = values.shape
    out = np.clip(np.rint(values) + round(15 * strength * (2 * u[6] - 1)) * (values > 0), 0, 255).astype(np.uint8)
    for width, start in ((u[0], u[1]), (u[2], u[3])):
        low, high = silenced(M, width, start, strength * 16)
        out[:, low:high] = 0
    first, last = silenced(T, u[4], u[5], strength * T / 10)
    out[first:last] = 0
    return out


def _resampled(x: NDArray[np.float32], size: int, factor: float, axis: int = 0) -> NDArray[np.float32]:
    """x stretched along an axis by a factor, `size` places of it, between its places in proportion; beyond its end its last place."""
    place = np.minimum(np.arange(size, dtype=np.float32) / np.float32(factor), x.shape[axis] - 1)
    before = place.astype(np.int64)
    share = place - before
    share = share[:, None] if axis == 0 else share[None]
    after = np.minimum(before + 1, x.shape[axis] - 1)
    return (x.take(before, axis) * (1 - share) + x.take(after, axis) * share).astype(np.float32, copy=False)


def keep_tokens(u: Uniform, drop: float) -> NDArray[np.int64] | None:
    """u: uniform [I, N] → the indices of the tokens that stay, [I, round((1 − drop)·N)] in order, or None for all."""
    N = u.shape[1]
    K = max(round((1 - drop) * N), 1)
    if K == N:
        return None
    return np.sort(np.argpartition(u, K - 1, axis=1)[:, :K], axis=1)
