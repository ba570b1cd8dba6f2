"""Regions of a picture that stand out from its ground, as boxes; no model."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

SIDE = 96
"""Pictures are looked at with their longest side at this."""

SMALLEST = 0.01
"""A region is at least this share of the picture; the whole picture is none."""

LEAST = 24.0
"""A distance in RGB (0 … 441) from the ground below which nothing stands out."""

GROUNDS = 3
"""Colours that the ground may have."""

Sides = tuple[float, float, float, float]


def find_regions(pixels: NDArray[np.uint8], most: int) -> list[Sides]:
    """At most `most` boxes (x0, y0, x1, y1 as fractions of width and height) in uint8 [H, W, 3], the largest region first.

    The picture's rim is taken for the ground (the boundary prior, Wei et al. 2012): pixels are judged by their distance to the nearest of
    the rim's GROUNDS main colours, cut in two by Otsu's threshold, opened and closed, and their connected components are the regions.
    Things that touch each other are one region; a picture whose rim holds the thing itself has none.
    """
    from scipy import ndimage

    small = _shrink(pixels)
    height, width = small.shape[:2]
    if min(height, width) < 5:
        return []
    distance = ground_distance(small)
    limit = max(otsu(distance), LEAST)
    mask = distance > limit
    mask = ndimage.binary_closing(ndimage.binary_opening(np.pad(mask, 2)), iterations=2)[2:-2, 2:-2]
    labelled: Any = ndimage.label(ndimage.binary_fill_holes(mask), structure=np.ones((3, 3)))
    numbers: NDArray[np.int32] = labelled[0]
    count = int(labelled[1])
    area = np.bincount(numbers.ravel(), minlength=count + 1)
    found: list[tuple[int, Sides]] = []
    for number, place in enumerate(ndimage.find_objects(numbers), 1):
        rows, columns = place
        box = (columns.start / width, rows.start / height, columns.stop / width, rows.stop / height)
        whole = columns.stop - columns.start > 0.98 * width and rows.stop - rows.start > 0.98 * height
        if area[number] >= SMALLEST * height * width and not whole:
            found.append((int(area[number]), box))
    found.sort(key=lambda region: (-region[0], region[1]))
    return [box for _, box in found[:most]]


def ground_distance(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """[H, W]: how far each pixel's colour lies from the nearest main colour of the rim (a border of two pixels)."""
    value = pixels.astype(np.float64)
    rim = np.concatenate(
        [value[:2].reshape(-1, 3), value[-2:].reshape(-1, 3), value[:, :2].reshape(-1, 3), value[:, -2:].reshape(-1, 3)]
    )
    cells = (rim // 32).astype(np.int64) @ np.array([64, 8, 1])
    known, count = np.unique(cells, return_counts=True)
    main = [
        cell
        for cell, n in sorted(zip(known, count, strict=True), key=lambda pair: (-pair[1], pair[0]))
        if n >= 0.1 * len(rim)
    ]
    grounds = [np.median(rim[cells == cell], axis=0) for cell in main[:GROUNDS]] or [np.median(rim, axis=0)]
    return np.min([np.linalg.norm(value - ground, axis=2) for ground in grounds], axis=0)


def otsu(value: NDArray[np.float64]) -> float:
    """The threshold that parts `value` into two groups of greatest variance between them (Otsu 1979), by 256 bins; its maximum where all are
    alike."""
    count, edges = np.histogram(value, 256)
    centre = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(count)
    above = below[-1] - below
    total = np.cumsum(count * centre)
    ok = (below > 0) & (above > 0)
    if not ok.any():
        return float(value.max())
    mean_below = total / np.maximum(below, 1)
    mean_above = (total[-1] - total) / np.maximum(above, 1)
    between = np.where(ok, below * above * (mean_below - mean_above) ** 2.0, -1.0)
    best = np.flatnonzero(between >= between.max() * (1 - 1e-12))
    return float(edges[int(best.mean()) + 1])


def crop(pixels: NDArray[np.uint8], box: Sides) -> NDArray[np.uint8]:
    """The pixels of a box, at least one."""
    height, width = pixels.shape[:2]
    x0, y0 = int(box[0] * width), int(box[1] * height)
    return pixels[y0 : max(y0 + 1, round(box[3] * height)), x0 : max(x0 + 1, round(box[2] * width))]


def _shrink(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    from PIL import Image

    height, width = pixels.shape[:2]
    scale = SIDE / max(height, width)
    if scale >= 1:
        return pixels
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX))
