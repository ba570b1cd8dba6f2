"""Intervals of means of any figures, by whole groups (Efron & Tibshirani 1993, chapter 13); rates have their own in metrics.intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from chiasm.evaluate.metrics.ranks import resampled

Float = NDArray[np.float64]
RESAMPLES = 1000


def means(
    values: Mapping[str, Float], group: NDArray[np.int64], seed: int = 0, resamples: int = RESAMPLES
) -> dict[str, Float]:
    """Each named value's mean [Q] in each bootstrap resample of whole groups [R], the same resamples for all."""
    if not values:
        return {}
    table = np.stack([*values.values(), np.ones(len(group))], 1)
    sums = resampled(table, group, resamples=resamples, seed=seed)
    return {name: sums[:, i] / sums[:, -1] for i, name in enumerate(values)}


def mean_intervals(
    values: Mapping[str, Float], group: NDArray[np.int64], seed: int = 0, level: float = 0.95
) -> dict[str, tuple[float, float]]:
    """Percentile intervals of the mean of each named value [Q]; values have any range. One group alone gives the values' whole range."""
    if len(np.unique(group)) < 2:
        return {name: (float(value.min()), float(value.max())) for name, value in values.items() if len(value)}
    return {name: bounds(drawn, level) for name, drawn in means(values, group, seed).items()}


def bounds(drawn: Float, level: float = 0.95) -> tuple[float, float]:
    """The percentiles that hold `level` of what was drawn [R]; what is not a number is left out."""
    tail = 100 * (1 - level) / 2
    low, high = np.nanpercentile(drawn, [tail, 100 - tail])
    return float(low), float(high)


def holm(p: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment of p-values (1979): the chance of any false finding among all stays below the level asked."""
    order = np.argsort(p, kind="stable")
    found = np.empty(len(p))
    worst = 0.0
    for place, index in enumerate(order):
        worst = max(worst, min(1.0, (len(p) - place) * p[index]))
        found[index] = worst
    return [float(value) for value in found]


def benjamini_hochberg(p: Sequence[float]) -> list[float]:
    """Benjamini and Hochberg's adjustment (1995): the expected share of false findings among the findings stays below the level asked."""
    order = np.argsort(p, kind="stable")
    found = np.empty(len(p))
    least = 1.0
    for place in range(len(p) - 1, -1, -1):
        least = min(least, p[order[place]] * len(p) / (place + 1))
        found[order[place]] = least
    return [float(value) for value in found]


def rounded(pair: tuple[float, float]) -> list[float]:
    """An interval as JSON."""
    return [round(pair[0], 6), round(pair[1], 6)]
