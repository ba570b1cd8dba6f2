"""COCO's segmentations (polygons, run lengths, compressed run lengths) as one mask of all objects of a picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chiasm.errors import MediaError
from chiasm.modalities.image import MAX_PIXELS

MAX_OBJECTS = 255


def draw_mask(outlines: Sequence[Any], width: int, height: int) -> NDArray[np.uint8]:
    """uint8 [height, width]: k where the k-th outline (from 1) is, 0 where none is. A smaller object lies over a larger one.

    Raises MediaError ``format`` for an outline that is none of COCO's forms, for more than MAX_OBJECTS, ``too_large`` for the picture.
    """
    if len(outlines) > MAX_OBJECTS:
        raise MediaError("format", f"{len(outlines)} objects; a mask of 8 bits tells {MAX_OBJECTS} apart")
    if width < 1 or height < 1 or width * height > MAX_PIXELS:
        raise MediaError("too_large", f"a mask of {width} × {height} pixels; the limit is {MAX_PIXELS:,} pixels")
    mask = np.zeros((height, width), np.uint8)
    shapes = [
        (shape, number) for number, outline in enumerate(outlines, 1) for shape in [_shape(outline, width, height)]
    ]
    sizes = {number: int(shape.sum()) for shape, number in shapes}
    for shape, number in sorted(shapes, key=lambda pair: (-sizes[pair[1]], pair[1])):
        mask[shape] = number
    return mask


def _shape(outline: Any, width: int, height: int) -> NDArray[np.bool_]:
    if isinstance(outline, dict):
        counts = outline.get("counts")
        if outline.get("size") != [height, width]:
            raise MediaError(
                "format", f"run lengths of size {outline.get('size')}, the picture has [{height}, {width}]"
            )
        return _runs(unpack_counts(counts) if isinstance(counts, str) else counts, width, height)
    return _polygons(outline, width, height)


def _polygons(outline: Any, width: int, height: int) -> NDArray[np.bool_]:
    from PIL import Image, ImageDraw

    picture = Image.new("1", (width, height))
    draw = ImageDraw.Draw(picture)
    if not isinstance(outline, list):
        raise MediaError("format", "a segmentation that is neither polygons nor run lengths")
    for polygon in outline:
        numbers = polygon if isinstance(polygon, list) else []
        if len(numbers) < 6 or len(numbers) % 2 or not all(_number(value) for value in numbers):
            raise MediaError("format", "a polygon is a list of x, y, x, y … of 3 points at least")
        # A point far outside only costs time.
        points = [
            (min(max(x, -width), 2 * width), min(max(y, -height), 2 * height))
            for x, y in zip(numbers[::2], numbers[1::2], strict=True)
        ]
        draw.polygon(points, fill=1)
    return np.asarray(picture)


def _runs(counts: Any, width: int, height: int) -> NDArray[np.bool_]:
    """Lengths of runs of 0 and 1 in turn, down the columns."""
    if not isinstance(counts, list) or not all(isinstance(count, int) and count >= 0 for count in counts):
        raise MediaError("format", "run lengths that are no list of whole numbers")
    if sum(counts) != width * height:
        raise MediaError("format", f"run lengths of {sum(counts):,} pixels, the picture has {width * height:,}")
    values = np.arange(len(counts)) % 2 == 1
    return np.repeat(values, counts).reshape(width, height).T


def unpack_counts(text: str) -> list[int]:
    """Run lengths from COCO's text form: differences to the run before the last, 5 bits a character from "0" on, as in LEB128."""
    counts: list[int] = []
    at = 0
    while at < len(text):
        value = shift = 0
        while True:
            bits = ord(text[at]) - 48 if at < len(text) else -1
            if not 0 <= bits < 64 or shift > 60:
                raise MediaError("format", "run lengths in a text form that is not COCO's")
            value |= (bits & 31) << shift
            shift += 5
            at += 1
            if not bits & 32:
                break
        if bits & 16:
            value -= 1 << shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)
    return counts


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
