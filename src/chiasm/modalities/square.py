"""Places in a picture and in the square that it is padded to: pictures are scaled to fit a square and stand in its middle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from chiasm.types import Box, ScoredBox

B = TypeVar("B", Box, ScoredBox)


def into_square(boxes: Sequence[B], width: int, height: int) -> tuple[B, ...]:
    """Boxes as fractions of a picture of these sides → as fractions of its square."""
    x, y, w, h = _frame(width, height)
    return _moved(boxes, lambda a: x + a * w, lambda b: y + b * h)


def out_of_square(boxes: Sequence[B], width: int, height: int) -> tuple[B, ...]:
    """The inverse, kept inside of the picture; what lies in the margin alone is left out."""
    x, y, w, h = _frame(width, height)
    moved = _moved(boxes, lambda a: min(max((a - x) / w, 0.0), 1.0), lambda b: min(max((b - y) / h, 0.0), 1.0))
    return tuple(box for box in moved if box.x1 > box.x0 and box.y1 > box.y0)


def labels_into_square(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Labels [H, W] in the middle of a square of the longer side, 0 around them."""
    height, width = labels.shape
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    square = np.zeros((side, side), np.int64)
    square[top : top + height, left : left + width] = labels
    return square


def labels_out_of_square(labels: NDArray[np.int64], width: int, height: int) -> NDArray[np.int64]:
    """Labels [S, S] of a square → those of the rows and columns where a picture of these sides stands."""
    side = len(labels)
    x, y, w, h = _frame(width, height)
    left, right = round(x * side), max(round((x + w) * side), round(x * side) + 1)
    top, bottom = round(y * side), max(round((y + h) * side), round(y * side) + 1)
    return labels[top:bottom, left:right]


def _frame(width: int, height: int) -> tuple[float, float, float, float]:
    """Where a picture stands in its square: left, top, width, height, as fractions."""
    side = max(width, height)
    return (side - width) / 2 / side, (side - height) / 2 / side, width / side, height / side


def _moved(boxes: Sequence[B], x: Callable[[float], float], y: Callable[[float], float]) -> tuple[B, ...]:
    return tuple(replace(b, x0=x(b.x0), y0=y(b.y0), x1=x(b.x1), y1=y(b.y1)) for b in boxes)
