"""What moves in a clip, how much and whither, from the differences of its frames; no model."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from chiasm.dataset.extract_regions import ground_distance

STILL, FAST = 0.004, 0.05
"""Mean change between two frames (0 … 1 of full scale) below which a clip is still, and above which it is fast."""

CHANGED = 0.08
"""A pixel that differs by more from what it mostly is belongs to what moves."""

SHIFT = 0.08
"""Of the picture's side: way below which a thing moves nowhere."""

GROWTH = 1.6
"""Factor in area at which a thing comes nearer, and its inverse at which it goes."""

PANNED = 0.4
"""Where more of the picture changes than this, the camera moves and not a thing."""


@dataclass(frozen=True, slots=True)
class Motion:
    """amount: "still", "slow" or "fast" · direction: "left", "right", "up", "down", "nearer", "farther", or None where it is none of
    these · change: mean difference between two frames, 0 … 1 · camera: whether the whole picture moves; `direction` is then whither its
    content does."""

    amount: str
    direction: str | None
    change: float
    camera: bool


def find_motion(frames: NDArray[np.uint8]) -> Motion:
    """Of uint8 [F, S, S, 3], frames at equal distances in time."""
    grey = frames.astype(np.float64).mean(axis=3) / 255
    if len(grey) < 2:
        return Motion("still", None, 0.0, False)
    change = float(np.abs(np.diff(grey, axis=0)).mean())
    amount = "still" if change < STILL else "fast" if change > FAST else "slow"
    if amount == "still":
        return Motion(amount, None, change, False)
    moving = np.abs(grey - np.median(grey, axis=0)) > CHANGED
    camera = bool(moving.mean() > PANNED)
    direction = _pan(grey) if camera else _way(moving) or _growth(frames)
    return Motion(amount, direction, change, camera)


def _way(moving: NDArray[np.bool_]) -> str | None:
    """By the straight line through the centres of what moves, weighted by its area (weighted least squares)."""
    area = moving.sum(axis=(1, 2)).astype(np.float64)
    times = np.arange(len(area))
    seen = area >= 4
    if seen.sum() < 2:
        return None
    side = np.arange(moving.shape[1])
    x = (moving.sum(axis=1) @ side)[seen] / area[seen]
    y = (moving.sum(axis=2) @ side)[seen] / area[seen]
    t, weight = times[seen], np.sqrt(area[seen])
    span = t[-1] - t[0]
    dx, dy = (float(np.polyfit(t, way, 1, w=weight)[0]) * span / moving.shape[1] for way in (x, y))
    return _side(dx, dy) if max(abs(dx), abs(dy)) >= SHIFT else None


def _growth(frames: NDArray[np.uint8]) -> str | None:
    """By how much of the picture is not its ground, in the last third against the first."""
    area = [float((ground_distance(frame) > 441 * CHANGED).mean()) for frame in frames]
    third = max(1, len(area) // 3)
    first, last = np.mean(area[:third]), np.mean(area[-third:])
    if max(first, last) < 0.01:
        return None
    return "nearer" if last > GROWTH * first else "farther" if first > GROWTH * last else None


def _pan(grey: NDArray[np.float64]) -> str | None:
    """By phase correlation of each two frames (Kuglin & Hines 1975)."""
    window = np.hanning(grey.shape[1])[:, None] * np.hanning(grey.shape[2])[None, :]
    side = grey.shape[1]
    total = np.zeros(2)
    for before, after in pairwise(grey):
        a, b = (np.fft.fft2((frame - frame.mean()) * window) for frame in (before, after))
        cross = b * np.conj(a)
        peak = np.fft.ifft2(cross / np.maximum(np.abs(cross), 1e-9)).real
        y, x = np.unravel_index(int(peak.argmax()), peak.shape)
        total += [(x + side // 2) % side - side // 2, (y + side // 2) % side - side // 2]
    dx, dy = total / side
    return _side(dx, dy) if max(abs(dx), abs(dy)) >= SHIFT else None


def _side(dx: float, dy: float) -> str:
    if abs(dx) >= abs(dy):
        return "right" if dx > 0 else "left"
    return "down" if dy > 0 else "up"
