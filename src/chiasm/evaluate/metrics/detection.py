"""Average precision and recall of found boxes as COCO counts them, figure for figure as pycocotools (arXiv 1405.0312; cocoeval.py).

Legend: n pictures · D boxes found in one · G true ones · F boxes found in all · T overlaps · A ranges of area · R = 101 recalls.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chiasm.errors import DataError
from chiasm.evaluate.metrics.bootstrap import RESAMPLES, bounds, weights
from chiasm.types import Box, ScoredBox

Float = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

OVERLAPS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0.0, 1.0, 101)
MOST = (1, 10, 100)
"""Boxes of one class and picture that count, the surest."""

AREAS = {"all": (0.0, 1e10), "small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}
"""Square pixels; the ends belong to both."""


@dataclass(frozen=True, slots=True)
class FoundBoxes:
    """box: float64 [D, 4], left, top, right, bottom in pixels · score: [D] · label: the class of each."""

    box: Float
    score: Float
    label: Sequence[str]


@dataclass(frozen=True, slots=True)
class TrueBoxes:
    """box: float64 [G, 4] · label · crowd: bool [G], boxes round many that hits and misses inside of are not counted for ·
    area: [G] of the object itself in square pixels, where the data set tells; by default that of the box."""

    box: Float
    label: Sequence[str]
    crowd: Bools | None = None
    area: Float | None = None


@dataclass(frozen=True, slots=True)
class BoxScores:
    """mean: the mean of the classes' AP, 0 … 1, with its 95 % interval low … high; by_class: AP of each class that occurs in the truth;
    hits: [n], how many true boxes of each picture were found."""

    mean: float
    low: float
    high: float
    by_class: Mapping[str, float]
    hits: Float


def coco_scores(found: Sequence[FoundBoxes], truth: Sequence[TrueBoxes]) -> dict[str, float]:
    """ap (mean over overlaps and classes), ap50, ap75, ap_small … ap_large, ar_1, ar_10, ar_100, ar_small … ar_large: 0 … 1, and −1, as
    pycocotools has it, where no true box is of such a size.

    found, truth: n pictures'. Classes that no true box has count nothing, however often they were found.
    Raises DataError where numbers differ, or scores or boxes are not finite.
    """
    matched = _matched(found, truth, OVERLAPS, list(AREAS.values()))
    precision: dict[str, Float] = {area: np.full((len(matched), len(OVERLAPS)), -1.0) for area in AREAS}
    recall: dict[tuple[str, int], Float] = {
        (area, most): np.full((len(matched), len(OVERLAPS)), -1.0) for area in AREAS for most in MOST
    }
    for row, pictures in enumerate(matched.values()):
        for place, area in enumerate(AREAS):
            for most in MOST:
                curves = _ranking(pictures, place, most).curves()
                if curves is not None:
                    recall[area, most][row] = curves[0]
                    precision[area][row] = curves[1]  # the last, of 100 boxes, stays
    whole = precision["all"]
    found_ap = {"ap": _known(whole), "ap50": _known(whole[:, 0]), "ap75": _known(whole[:, 5])}
    found_ap |= {f"ap_{area}": _known(precision[area]) for area in ("small", "medium", "large")}
    found_ap |= {f"ar_{most}": _known(recall["all", most]) for most in MOST}
    return found_ap | {f"ar_{area}": _known(recall[area, MOST[-1]]) for area in ("small", "medium", "large")}


def box_average_precision(
    found: Sequence[Sequence[ScoredBox]],
    truth: Sequence[Sequence[Box]],
    iou: float = 0.5,
    *,
    group: Ints | None = None,
    seed: int = 0,
    rounds: int = RESAMPLES,
) -> BoxScores:
    """Average precision at one overlap with its interval, of boxes as shares of the picture's sides (AP50 at 0.5; area "all", 100 boxes a class).

    found, truth: n pictures' boxes. The mean is over the classes that occur in the truth: boxes of any other class count nothing.
    The interval is a percentile bootstrap over groups, int64 [n], each picture its own by default.
    Raises DataError where there is no true box at all, or numbers of pictures differ.
    """
    if len(found) == len(truth) and not any(map(len, truth)):
        raise DataError("no picture has a true box: average precision needs at least one")
    mine = [
        FoundBoxes(_corners(some), np.array([one.score for one in some]), [o.label for o in some]) for some in found
    ]
    right = [TrueBoxes(_corners(some), [one.label for one in some]) for some in truth]
    matched = _matched(mine, right, np.array([iou]), [AREAS["all"]])
    rankings = {label: _ranking(pictures, 0, MOST[-1]) for label, pictures in matched.items()}
    by_class = {label: one.average_precision() or 0.0 for label, one in rankings.items()}
    hits = sum((one.hits() for one in rankings.values()), np.zeros(len(truth)))
    _, member = np.unique(np.arange(len(truth)) if group is None else group, return_inverse=True)
    drawn: list[float] = []
    for block in weights(int(member.max()) + 1, rounds, seed):
        for times in block[:, member]:
            values = [value for one in rankings.values() if (value := one.average_precision(times)) is not None]
            if values:
                drawn.append(float(np.mean(values)))
    mean = float(np.mean(list(by_class.values())))
    low, high = bounds(drawn) if drawn else (mean, mean)
    return BoxScores(mean, low, high, by_class, hits)


@dataclass(frozen=True, slots=True)
class _Matched:
    """One class in one picture, surest first: score [D]; hit, ignored: bool [A, T, D]; wanted: [A], true boxes that count."""

    score: Float
    hit: Bools
    ignored: Bools
    wanted: Ints


@dataclass(frozen=True, slots=True)
class _Ranking:
    """One class in all pictures and one range of area, surest first. picture: int64 [F]; right, wrong: [T, F], 1 where it counts as such;
    wanted: [n], true boxes of each picture that count."""

    picture: Ints
    right: Float
    wrong: Float
    wanted: Float

    def curves(self, times: Float | None = None) -> tuple[Float, Float] | None:
        """Recall [T], and the mean precision [T] over the recalls, each picture counted `times` [n] over, once by default; None where no true
        box counts."""
        total = float(self.wanted.sum() if times is None else self.wanted @ times)
        if not total:
            return None
        recall, precision = np.zeros(len(self.right)), np.zeros(len(self.right))
        if not len(self.picture):
            return recall, precision
        weight = 1.0 if times is None else times[self.picture]
        right, wrong = np.cumsum(self.right * weight, axis=1), np.cumsum(self.wrong * weight, axis=1)
        # Precision never rises with recall: each place takes the best of those behind it (COCOeval.accumulate).
        sharp = right / (wrong + right + np.spacing(1))
        sharp = np.maximum.accumulate(sharp[:, ::-1], axis=1)[:, ::-1]
        for row, reached in enumerate(right / total):
            recall[row] = reached[-1]
            precision[row] = np.append(sharp[row], 0.0)[np.searchsorted(reached, RECALLS, side="left")].mean()
        return recall, precision

    def average_precision(self, times: Float | None = None) -> float | None:
        """At the first overlap."""
        found = self.curves(times)
        return None if found is None else float(found[1][0])

    def hits(self) -> Float:
        """How many true boxes of each picture were found, at the first overlap: [n]."""
        return np.bincount(self.picture, weights=self.right[0], minlength=len(self.wanted)).astype(np.float64)


def _ranking(pictures: Sequence[_Matched], area: int, most: int) -> _Ranking:
    score = np.concatenate([one.score[:most] for one in pictures])
    order = np.argsort(-score, kind="stable")
    hit = np.concatenate([one.hit[area, :, :most] for one in pictures], axis=1)[:, order]
    counted = ~np.concatenate([one.ignored[area, :, :most] for one in pictures], axis=1)[:, order]
    picture = np.repeat(np.arange(len(pictures)), [len(one.score[:most]) for one in pictures])[order]
    wanted = np.array([one.wanted[area] for one in pictures], np.float64)
    return _Ranking(picture, (hit & counted).astype(np.float64), (~hit & counted).astype(np.float64), wanted)


def _known(values: Float) -> float:
    known = values[values > -1]
    return float(known.mean()) if len(known) else -1.0


def _matched(
    found: Sequence[FoundBoxes], truth: Sequence[TrueBoxes], needed: Float, areas: Sequence[tuple[float, float]]
) -> dict[str, list[_Matched]]:
    if len(found) != len(truth):
        raise DataError(f"boxes found in {len(found)} pictures, true ones in {len(truth)}: give both for each picture")
    for place, (mine, right) in enumerate(zip(found, truth, strict=True)):
        if not (np.isfinite(mine.box).all() and np.isfinite(mine.score).all() and np.isfinite(right.box).all()):
            raise DataError(f"picture {place}: a box or a score is not finite")
    labels = sorted({label for right in truth for label in right.label})
    return {label: [_match(*both, label, needed, areas) for both in zip(found, truth, strict=True)] for label in labels}


def _match(
    found: FoundBoxes, truth: TrueBoxes, label: str, needed: Float, areas: Sequence[tuple[float, float]]
) -> _Matched:
    """The boxes of one class in one picture, greedily matched (COCOeval.evaluateImg). needed: [T]; areas: A of them."""
    mine = np.array([one == label for one in found.label], dtype=bool)
    theirs = np.array([one == label for one in truth.label], dtype=bool)
    order = np.argsort(-found.score[mine], kind="stable")[: MOST[-1]]
    score, box = found.score[mine][order], found.box[mine][order]
    right = truth.box[theirs]
    crowd = np.zeros(len(right), dtype=bool) if truth.crowd is None else truth.crowd[theirs]
    area = _area(right) if truth.area is None else truth.area[theirs]
    overlap = overlaps(box, right, crowd)
    hit, ignored = (np.zeros((len(areas), len(needed), len(box)), dtype=bool) for _ in range(2))
    wanted = np.zeros(len(areas), dtype=np.int64)
    for place, (least, most) in enumerate(areas):
        out = crowd | (area < least) | (area > most)
        wanted[place] = int((~out).sum())
        # Those that do not count come last, and are taken only where nothing else fits.
        last = np.argsort(out, kind="stable")
        outside = (_area(box) < least) | (_area(box) > most)
        for row, enough in enumerate(needed):
            taken, aside = _take(overlap[:, last], out[last], crowd[last], float(enough))
            hit[place, row] = taken & ~aside
            ignored[place, row] = aside | (~taken & outside)
    return _Matched(score, hit, ignored, wanted)


def _take(overlap: Float, out: Bools, crowd: Bools, needed: float) -> tuple[Bools, Bools]:
    """Which found boxes [D], surest first, get a true one, and which of these one that does not count."""
    free = np.ones(len(out), dtype=bool)
    taken, aside = np.zeros(len(overlap), dtype=bool), np.zeros(len(overlap), dtype=bool)
    least = min(needed, 1 - 1e-10)
    for row, one in enumerate(overlap):
        open_ = free | crowd
        for counted in (~out, out):
            value = np.where(open_ & counted, one, -1.0)
            if len(value) and value.max() >= least:
                place = len(value) - 1 - int(np.argmax(value[::-1]))  # of equal ones, the last
                taken[row], aside[row], free[place] = True, bool(out[place]), False
                break
    return taken, aside


def overlaps(a: Float, b: Float, crowd: Bools | None = None) -> Float:
    """Intersection over union [D, G] of boxes [D, 4] and [G, 4], over the found box alone where the true one is a crowd; 0 for two without area."""
    corner = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    inside = np.where((corner > 0).all(-1), corner.prod(-1), 0.0)
    union = _area(a)[:, None] + _area(b)[None] - inside
    if crowd is not None:
        union = np.where(crowd[None], _area(a)[:, None], union)
    return np.divide(inside, union, out=np.zeros_like(inside), where=union > 0)


def _area(box: Float) -> Float:
    return (box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1])


def _corners(boxes: Sequence[Box | ScoredBox]) -> Float:
    return np.array([(box.x0, box.y0, box.x1, box.y1) for box in boxes], dtype=np.float64).reshape(-1, 4)
