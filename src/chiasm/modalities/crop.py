"""Parts of pictures, resized: every crop of a batch in two matrix products."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def crop_resize(
    pictures: NDArray[np.uint8] | Floats, boxes: Floats, size: int, mirror: NDArray[np.bool_] | None = None
) -> Floats:
    """Antialiased bilinear crops. pictures: [B, H, W, 3]; boxes: [B, R, 4], x0 y0 x1 y1 as fractions of the sides; mirror: [B, R], True where
    left and right change places → float32 [B, R, size, size, 3] on the pictures' scale.

    The filter is the triangle that Pillow and torchvision use (as wide as one output pixel, at least one input pixel), and never reads a pixel
    outside the crop. One picture's result does not depend on which others are in the batch.
    """
    B, H, W = pictures.shape[:3]
    R = boxes.shape[1]
    rows = _weights(boxes[..., 1], boxes[..., 3], size, H)
    columns = _weights(boxes[..., 0], boxes[..., 2], size, W)
    if mirror is not None:
        columns = np.where(mirror[..., None, None], columns[:, :, ::-1], columns)
    flat = pictures.reshape(B, H, W * 3).astype(np.float32)
    tall = (rows.reshape(B, R * size, H) @ flat).reshape(B, R, size, W, 3)
    turned = np.ascontiguousarray(tall.transpose(0, 1, 3, 2, 4)).reshape(B, R, W, size * 3)
    return (columns @ turned).reshape(B, R, size, size, 3).swapaxes(2, 3)


def _weights(start: Floats, stop: Floats, size: int, pixels: int) -> Floats:
    """start, stop: fractions [B, R] → [B, R, size, pixels], rows that sum to 1."""
    start, stop = start[..., None].astype(np.float32), stop[..., None].astype(np.float32)
    step = (stop - start) * (pixels / size)
    centre = (start * pixels + (np.arange(size, dtype=np.float32) + 0.5) * step - 0.5)[..., None]
    at = np.arange(pixels, dtype=np.float32)
    weight = np.maximum(1 - np.abs(at - centre) / np.maximum(step, 1)[..., None], 0)
    # Half a thousandth of a pixel of slack: a box at a whole pixel must not take in its neighbour by rounding.
    first = np.floor(start * pixels + 5e-4).clip(0, pixels - 1)
    last = np.maximum(np.ceil(stop * pixels - 5e-4) - 1, first)
    weight *= ((at >= first) & (at <= last))[..., None, :]
    return (weight / weight.sum(-1, keepdims=True)).astype(np.float32)
