"""How well boxes and label maps fit what is in a picture: average precision (COCO) and mean intersection over union.

Legend: n pictures · C classes · G found boxes of one class in all pictures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chiasm.errors import DataError
from chiasm.evaluate.metrics.resampling import percentiles
from chiasm.types import Box, ScoredBox

Float = NDArray[np.float64]
LabelMap = NDArray[np.integer[Any]]

RECALLS = np.linspace(0.0, 1.0, 101)
"""Where COCO reads the precision–recall curve."""

MOST = 100
"""Boxes of one class in one picture that count, the surest (COCO's maxDets)."""


@dataclass(frozen=True, slots=True)
class Found:
    """One class: which found boxes are true, surest first. picture: int64 [G]; hit: bool [G]; truths: [n], how many each picture holds."""

    picture: NDArray[np.int64]
    hit: NDArray[np.bool_]
    truths: Float

    def average_precision(self, times: Float | None = None) -> float | None:
        """AP over the pictures, each counted `times` [n] over (once by default); None where they hold none of the class."""
        times = np.ones(len(self.truths)) if times is None else times
        total = float(self.truths @ times)
        if not total:
            return None
        weight = times[self.picture]
        right, all_found = np.cumsum(weight * self.hit), np.cumsum(weight)
        # Precision never rises with recall: each place takes the best of those behind it (COCOeval.accumulate).
        precision = np.maximum.accumulate((right / np.maximum(all_found, 1e-12))[::-1])[::-1]
        place = np.searchsorted(right / total, RECALLS, side="left")
        return float(np.append(precision, 0.0)[np.minimum(place, len(precision))].mean())


@dataclass(frozen=True, slots=True)
class BoxScores:
    """mean: the mean of the classes' AP, 0 … 1, with its 95 % interval low … high; by_class: AP of each class that occurs in the truth."""

    mean: float
    low: float
    high: float
    by_class: Mapping[str, float]


def box_average_precision(
    found: Sequence[Sequence[ScoredBox]],
    truth: Sequence[Sequence[Box]],
    iou: float = 0.5,
    *,
    seed: int = 0,
    rounds: int = 200,
) -> BoxScores:
    """Average precision at one IoU, picture for picture, as COCO computes it (AP50 at 0.5; cocoeval.py, area "all", 100 boxes a class).

    found, truth: n pictures' boxes. By falling score each found box takes the free true box of its class that it overlaps most, if
    by at least `iou`; precision is made non-increasing and read at 101 recalls. The mean is over the classes that occur in the
    truth: boxes of any other class count nothing. The interval is a percentile bootstrap over pictures, of `rounds`.
    Raises DataError where there is no true box at all, or numbers of pictures differ.
    """
    if len(found) != len(truth):
        raise DataError(f"boxes found in {len(found)} pictures, true ones in {len(truth)}: give both for each picture")
    classes = sorted({box.label for boxes in truth for box in boxes})
    if not classes:
        raise DataError("no picture has a true box: average precision needs at least one")
    matched = {one: match_boxes(found, truth, one, iou) for one in classes}
    by_class = {one: one_class.average_precision() or 0.0 for one, one_class in matched.items()}
    rng = np.random.default_rng(seed)
    means: list[float] = []
    for _ in range(rounds):
        times = np.bincount(rng.integers(0, len(truth), len(truth)), minlength=len(truth)).astype(np.float64)
        drawn = [value for one in matched.values() if (value := one.average_precision(times)) is not None]
        if drawn:
            means.append(float(np.mean(drawn)))
    mean = float(np.mean(list(by_class.values())))
    low, high = percentiles(means) if means else (mean, mean)
    return BoxScores(mean, low, high, by_class)


def match_boxes(found: Sequence[Sequence[ScoredBox]], truth: Sequence[Sequence[Box]], label: str, iou: float) -> Found:
    """The boxes of one class in all pictures, greedily matched (COCOeval.evaluateImg) and sorted, surest first."""
    pictures: list[int] = []
    scores: list[float] = []
    hits: list[bool] = []
    truths = np.zeros(len(truth))
    for picture, (mine, theirs) in enumerate(zip(found, truth, strict=True)):
        wanted = [box for box in theirs if box.label == label]
        ranked = sorted((box for box in mine if box.label == label), key=lambda box: -box.score)[:MOST]
        truths[picture] = len(wanted)
        pictures += [picture] * len(ranked)
        scores += [box.score for box in ranked]
        hits += _taken(overlaps(ranked, wanted), iou)
    order = np.argsort(-np.array(scores), kind="stable")
    return Found(np.array(pictures, dtype=np.int64)[order], np.array(hits, dtype=bool)[order], truths)


def overlaps(a: Sequence[Box | ScoredBox], b: Sequence[Box | ScoredBox]) -> Float:
    """Intersection over union of each two boxes, 0 … 1: [len(a), len(b)]; 0 for two without area."""
    x, y = _corners(a)[:, None], _corners(b)[None]
    inside = np.clip(np.minimum(x[..., 2:], y[..., 2:]) - np.maximum(x[..., :2], y[..., :2]), 0, None).prod(-1)
    union = (x[..., 2:] - x[..., :2]).prod(-1) + (y[..., 2:] - y[..., :2]).prod(-1) - inside
    return inside / np.maximum(union, 1e-12)


def _corners(boxes: Sequence[Box | ScoredBox]) -> Float:
    return np.array([(box.x0, box.y0, box.x1, box.y1) for box in boxes], dtype=np.float64).reshape(-1, 4)


def _taken(iou: Float, least: float) -> list[bool]:
    """Whether each row, in order, finds a column of at least `least` that no earlier row took; it takes the best, the last among equals."""
    free = np.ones(iou.shape[1], dtype=bool)
    hits: list[bool] = []
    for row in iou:
        best = np.where(free, row, -1.0)
        place = len(best) - 1 - int(np.argmax(best[::-1])) if len(best) else -1
        hit = place >= 0 and bool(best[place] >= min(least, 1 - 1e-10))
        if hit:
            free[place] = False
        hits.append(hit)
    return hits


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
    """What each picture adds to `mean_iou`, the table for `conversion_metrics.bootstrap` with `mask_score` or `foreground_score`.

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
