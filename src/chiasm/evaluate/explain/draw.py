"""Explanations as pictures: a map over a picture or a spectrogram. Orange speaks for the likeness, blue against it; both are measured by
the map's largest value, so that the strength of colours can be compared within a map and not between maps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

FOR, AGAINST = np.array([214, 74, 0], np.float64), np.array([24, 92, 214], np.float64)
SIDE = 320
STRENGTH = 0.8

Pixels = NDArray[np.uint8]


def overlay(picture: Pixels, values: NDArray[np.float64], scale: float | None = None, side: int = SIDE) -> Pixels:
    """picture: uint8 [h, w, 3]; values: [rows, columns] over the whole of it → uint8 [H, W, 3], the longer side `side` pixels.

    scale: the value of full colour, the largest magnitude where None.
    """
    height, width = (round(n * side / max(picture.shape[:2])) for n in picture.shape[:2])
    base = np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC), np.float64)
    grey = 0.5 * base + 0.5 * 235
    share = _stretched(values / (scale or float(np.abs(values).max()) or 1.0), width, height)
    alpha = STRENGTH * np.clip(np.abs(share), 0, 1)[..., None]
    colour = np.where(share[..., None] >= 0, FOR, AGAINST)
    return np.rint(grey * (1 - alpha) + colour * alpha).astype(np.uint8)


def spectrum_picture(mel: NDArray[np.uint8], height: int = 160, width: int = 640) -> Pixels:
    """Log-mel [T, M] → uint8 [height, width, 3], low bands below, loud is dark."""
    grey = 255 - mel.T[::-1]
    return np.asarray(Image.fromarray(grey).resize((width, height), Image.Resampling.BILINEAR).convert("RGB"))


def shade(value: float, largest: float) -> str:
    """A CSS background for a word of this relevance."""
    red, green, blue = (FOR if value >= 0 else AGAINST).astype(int)
    return f"rgba({red},{green},{blue},{STRENGTH * min(abs(value) / (largest or 1.0), 1.0):.2f})"


def beside(pictures: list[Pixels], gap: int = 12) -> Pixels:
    """In a row on white, at their own sizes."""
    height = max(len(one) for one in pictures)
    parts: list[Pixels] = []
    for one in pictures:
        canvas = np.full((height, one.shape[1] + gap, 3), 255, np.uint8)
        canvas[: len(one), : one.shape[1]] = one
        parts.append(canvas)
    return np.concatenate(parts, 1)[:, :-gap]


def _stretched(values: NDArray[np.float64], width: int, height: int) -> NDArray[np.float64]:
    picture = Image.fromarray(values.astype(np.float32))
    return np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC), np.float64)
