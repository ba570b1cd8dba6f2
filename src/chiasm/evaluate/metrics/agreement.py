"""Do raters agree? Krippendorff's alpha and Cohen's kappa: pure functions of arrays.

Legend: U units (things rated) · M raters. A rating that is not there is NaN.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from chiasm.evaluate.metrics.bootstrap import bounds

Float = NDArray[np.float64]
Level = Literal["nominal", "ordinal", "interval"]


def krippendorff(ratings: Float, level: Level) -> float:
    """α = 1 − observed / expected disagreement of ratings [M, U] ("Computing Krippendorff's Alpha-Reliability", 2011, section C).

    Units that fewer than two raters rated say nothing. NaN where no two ratings can be compared; 1 where all are the same value.
    """
    return _alpha(*_coincidences(ratings), level)


def krippendorff_interval(ratings: Float, level: Level, seed: int = 0, resamples: int = 1000) -> tuple[float, float]:
    """95 % percentile bootstrap over units."""
    values = np.unique(ratings[np.isfinite(ratings)])
    each = np.stack([_coincidences(ratings[:, [u]], values)[0] for u in range(ratings.shape[1])])
    rng = np.random.default_rng(seed)
    drawn = np.array(
        [_alpha(each[rng.integers(0, len(each), len(each))].sum(0), values, level) for _ in range(resamples)]
    )
    return bounds(drawn) if np.isfinite(drawn).any() else (float("nan"), float("nan"))


def _coincidences(ratings: Float, values: Float | None = None) -> tuple[Float, Float]:
    """How often each two values meet in a unit [V, V], each unit weighing as many pairs as it has ratings; and the values [V]."""
    values = np.unique(ratings[np.isfinite(ratings)]) if values is None else values
    counts = (ratings[:, :, None] == values).sum(0).astype(np.float64)
    rated = counts.sum(1)
    counts, rated = counts[rated >= 2], rated[rated >= 2]
    pairs = np.einsum("uv,uw->uvw", counts, counts) - np.einsum("uv,vw->uvw", counts, np.eye(len(values)))
    return (pairs / np.maximum(rated - 1, 1)[:, None, None]).sum(0), values


def _alpha(met: Float, values: Float, level: Level) -> float:
    total = met.sum()
    if total == 0:
        return float("nan")
    marginal = met.sum(1)
    distance = _distance(values, marginal, level)
    expected = float(marginal @ distance @ marginal) / (total - 1)
    return 1.0 if expected == 0 else 1 - float((met * distance).sum()) / expected


def _distance(values: Float, marginal: Float, level: Level) -> Float:
    """δ² of every two values [V, V]."""
    if level == "nominal":
        return (values[:, None] != values).astype(np.float64)
    if level == "interval":
        return (values[:, None] - values) ** 2
    # What lies between two ranks: all ratings from one to the other, the two ends by half.
    ranks = np.cumsum(marginal) - marginal / 2
    return (ranks[:, None] - ranks) ** 2


def cohen(one: Float, two: Float, weighted: bool = False) -> float:
    """κ of two raters [U] (Cohen 1960); weighted: disagreement grows with the squared distance (Cohen 1968). Units that either left out do not
    count; NaN where none is left, 1 where both said the same one value throughout."""
    both = np.isfinite(one) & np.isfinite(two)
    if not both.any():
        return float("nan")
    values = np.unique(np.concatenate([one[both], two[both]]))
    table = np.einsum("uv,uw->vw", one[both][:, None] == values, (two[both][:, None] == values).astype(np.float64))
    table /= table.sum()
    cost = (values[:, None] - values) ** 2 if weighted else (values[:, None] != values).astype(np.float64)
    expected = float((np.outer(table.sum(1), table.sum(0)) * cost).sum())
    return 1.0 if expected == 0 else 1 - float((table * cost).sum()) / expected
