"""Average precision and recall of found boxes as COCO counts them, figure for figure as pycocotools (arXiv 1405.0312; cocoeval.py).

Legend: n pictures · D boxes found in one · G true ones · T = 10 overlaps 0.5, 0.55 … 0.95 · A = 4 ranges of area · R = 101 recalls.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chiasm.errors import DataError

Float = NDArray[np.float64]
Bools = NDArray[np.bool_]

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
class _Matched:
    """One class in one picture, surest first: score [D]; hit, ignored: bool [A, T, D]; wanted: [A], true boxes that count."""

    score: Float
    hit: Bools
    ignored: Bools
    wanted: NDArray[np.int64]


def coco_scores(found: Sequence[FoundBoxes], truth: Sequence[TrueBoxes]) -> dict[str, float]:
    """ap (mean over overlaps and classes), ap50, ap75, ap_small … ap_large, ar_1, ar_10, ar_100, ar_small … ar_large: 0 … 1, and −1, as
    pycocotools has it, where no true box is of such a size.

    found, truth: n pictures'. Classes that no true box has count nothing, however often they were found.
    Raises DataError where numbers differ, or scores or boxes are not finite.
    """
    matched = _matched(found, truth)
    precision: dict[str, Float] = {area: np.full((len(matched), len(OVERLAPS)), -1.0) for area in AREAS}
    recall: dict[tuple[str, int], Float] = {
        (area, most): np.full((len(matched), len(OVERLAPS)), -1.0) for area in AREAS for most in MOST
    }
    for row, pictures in enumerate(matched.values()):
        for place, area in enumerate(AREAS):
            for most in MOST:
                curves = _curves(pictures, place, most)
                if curves is not None:
                    recall[area, most][row] = curves[0]
                    precision[area][row] = curves[1]  # the last, of 100 boxes, stays
    whole = precision["all"]
    found_ap = {"ap": _known(whole), "ap50": _known(whole[:, 0]), "ap75": _known(whole[:, 5])}
    found_ap |= {f"ap_{area}": _known(precision[area]) for area in ("small", "medium", "large")}
    found_ap |= {f"ar_{most}": _known(recall["all", most]) for most in MOST}
    return found_ap | {f"ar_{area}": _known(recall[area, MOST[-1]]) for area in ("small", "medium", "large")}


def coco_class_scores(found: Sequence[FoundBoxes], truth: Sequence[TrueBoxes]) -> dict[str, tuple[float, float]]:
    """(ap, ap50) of each class that has a true box that counts. Errors as in `coco_scores`."""
    curves = {label: _curves(pictures, 0, MOST[-1]) for label, pictures in _matched(found, truth).items()}
    return {label: (float(two[1].mean()), float(two[1][0])) for label, two in curves.items() if two is not None}


def _known(values: Float) -> float:
    known = values[values > -1]
    return float(known.mean()) if len(known) else -1.0


def _matched(found: Sequence[FoundBoxes], truth: Sequence[TrueBoxes]) -> dict[str, list[_Matched]]:
    if len(found) != len(truth):
        raise DataError(f"boxes found in {len(found)} pictures, true ones in {len(truth)}: give both for each picture")
    for place, (mine, right) in enumerate(zip(found, truth, strict=True)):
        if not (np.isfinite(mine.box).all() and np.isfinite(mine.score).all() and np.isfinite(right.box).all()):
            raise DataError(f"picture {place}: a box or a score is not finite")
    labels = sorted({label for right in truth for label in right.label})
    return {label: [_match(*both, label) for both in zip(found, truth, strict=True)] for label in labels}


def _match(found: FoundBoxes, truth: TrueBoxes, label: str) -> _Matched:
    mine = np.array([one == label for one in found.label], dtype=bool)
    theirs = np.array([one == label for one in truth.label], dtype=bool)
    order = np.argsort(-found.score[mine], kind="stable")[: MOST[-1]]
    score, box = found.score[mine][order], found.box[mine][order]
    right = truth.box[theirs]
    crowd = np.zeros(len(right), dtype=bool) if truth.crowd is None else truth.crowd[theirs]
    area = _area(right) if truth.area is None else truth.area[theirs]
    overlap = _overlap(box, right, crowd)
    hit, ignored = (np.zeros((len(AREAS), len(OVERLAPS), len(box)), dtype=bool) for _ in range(2))
    wanted = np.zeros(len(AREAS), dtype=np.int64)
    for place, (least, most) in enumerate(AREAS.values()):
        out = crowd | (area < least) | (area > most)
        wanted[place] = int((~out).sum())
        last = np.argsort(
            out, kind="stable"
        )  # those that do not count come last, and are taken only where nothing else fits
        outside = (_area(box) < least) | (_area(box) > most)
        for row, needed in enumerate(OVERLAPS):
            taken, aside = _take(overlap[:, last], out[last], crowd[last], float(needed))
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


def _curves(pictures: Sequence[_Matched], area: int, most: int) -> tuple[Float, Float] | None:
    """Recall [T], and the mean precision [T] over the recalls; None where no true box counts."""
    wanted = sum(int(one.wanted[area]) for one in pictures)
    if not wanted:
        return None
    score = np.concatenate([one.score[:most] for one in pictures])
    order = np.argsort(-score, kind="stable")
    hit = np.concatenate([one.hit[area, :, :most] for one in pictures], axis=1)[:, order]
    ignored = np.concatenate([one.ignored[area, :, :most] for one in pictures], axis=1)[:, order]
    right = np.cumsum(hit & ~ignored, axis=1).astype(np.float64)
    wrong = np.cumsum(~hit & ~ignored, axis=1).astype(np.float64)
    recall, precision = np.zeros(len(OVERLAPS)), np.zeros(len(OVERLAPS))
    for row in range(len(OVERLAPS)):
        if not len(score):
            continue
        reached = right[row] / wanted
        sharp = right[row] / (wrong[row] + right[row] + np.spacing(1))
        sharp = np.append(np.maximum.accumulate(sharp[::-1])[::-1], 0.0)
        recall[row] = reached[-1]
        precision[row] = sharp[np.searchsorted(reached, RECALLS, side="left")].mean()
    return recall, precision


def _area(box: Float) -> Float:
    return (box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1])


def _overlap(a: Float, b: Float, crowd: Bools) -> Float:
    """Intersection over union [D, G]; over the found box alone where the true one is a crowd."""
    corner = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    inside = np.where((corner > 0).all(-1), corner.prod(-1), 0.0)
    union = np.where(crowd[None], _area(a)[:, None], _area(a)[:, None] + _area(b)[None] - inside)
    return np.divide(inside, union, out=np.zeros_like(inside), where=union > 0)
