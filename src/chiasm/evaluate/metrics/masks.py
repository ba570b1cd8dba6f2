"""How well label maps fit what is in a picture: mean intersection over union. Boxes: detection.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chiasm.errors import DataError

Float = NDArray[np.float64]
LabelMap = NDArray[np.integer[Any]]


@dataclass(frozen=True, slots=True)
class MaskScores:
    """Mean IoU over the classes that occur in truth or prediction, 0 … 1, with and without class 0, the background; IoU by class."""

    mean: float
    without_background: float
    by_class: Mapping[int, float]


def mean_iou(predicted: Sequence[LabelMap], truth: Sequence[LabelMap]) -> MaskScores:
    """Mean intersection over union, pixels pooled over the set before the division (PASCAL VOC; Long et al., arXiv 1411.4038, section 5).

    predicted: n label maps int [h, w]; truth: int [H, W], of any size each. A prediction is brought to its truth's size by the
    nearest value (pixel centres, as torch's "nearest-exact"). Pixels whose truth is negative (IGNORE) count nowhere.
    Raises DataError where numbers differ, a map is empty or a prediction negative.
    """
    if len(predicted) != len(truth):
        raise DataError(f"{len(predicted)} maps predicted, {len(truth)} true: give both for each picture")
    classes = 1 + max((int(one.max(initial=0)) for one in (*predicted, *truth)), default=0)
    table = mask_table(predicted, truth, classes).sum(axis=0)
    shares = _shares(table)
    by_class = {one: float(share) for one, share in enumerate(shares) if not np.isnan(share)}
    return MaskScores(mask_score(table), foreground_score(table), by_class)


def mask_table(predicted: Sequence[LabelMap], truth: Sequence[LabelMap], classes: int) -> Float:
    """What each picture adds to `mean_iou`, the table for `bootstrap.bootstrap` with `mask_score` or `foreground_score`.

    → [n, 2·classes]: pixels of each class in both, then in either. Labels are below `classes`; arguments and errors as there."""
    rows = np.zeros((len(truth), 2 * classes))
    for row, mine, right in zip(rows, predicted, truth, strict=True):
        if not mine.size or not right.size:
            raise DataError(f"a label map is empty: {mine.shape} predicted, {right.shape} true")
        if mine.min() < 0:
            raise DataError(f"a predicted label map holds {mine.min()}: classes count from 0")
        known = right >= 0
        mine, right = resized(mine, right.shape)[known], right[known]
        both = np.bincount(right[mine == right], minlength=classes)
        row[:classes] = both
        row[classes:] = np.bincount(mine, minlength=classes) + np.bincount(right, minlength=classes) - both
    return rows


def resized(labels: LabelMap, shape: Sequence[int]) -> LabelMap:
    """A label map [h, w] at [H, W], each pixel the one whose area holds its centre."""
    (height, width), (h, w) = shape, labels.shape
    y = (2 * np.arange(height) + 1) * h // (2 * height)
    x = (2 * np.arange(width) + 1) * w // (2 * width)
    return labels[y[:, None], x]


def mask_score(sums: Float) -> float:
    """Mean IoU of the summed rows of `mask_table` over the classes that occur; 0 where none does."""
    return _mean(_shares(sums))


def foreground_score(sums: Float) -> float:
    """`mask_score` without class 0."""
    return _mean(_shares(sums)[1:])


def _shares(sums: Float) -> Float:
    """IoU of each class, NaN where it occurs in neither."""
    both, either = np.split(sums, 2)
    return np.where(either > 0, both / np.maximum(either, 1.0), np.nan)


def _mean(shares: Float) -> float:
    return float(np.nanmean(shares)) if not np.isnan(shares).all() else 0.0
