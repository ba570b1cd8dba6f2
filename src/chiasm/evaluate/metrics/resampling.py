"""Intervals of measures that are no plain mean, and of their differences.

A *table* [n, K] holds what each of n items adds to the K sums that a measure is made of: right and asked for a rate, errors
and words for a word error rate, the n-gram counts of chrF. A *statistic* turns the sums [K] into the figure, so that it can be
taken again over any resample of the items.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from chiasm.errors import DataError
from chiasm.evaluate.metrics.ranks import resampled

Float = NDArray[np.float64]
Statistic = Callable[[Float], float]
"""Sums [K] → the figure."""

LEVEL = 0.95


def ratio(sums: Float) -> float:
    """The statistic of a table of two columns: the first sum over the second, 0 where that is 0."""
    return float(sums[0] / sums[1]) if sums[1] else 0.0


def rates(values: Float) -> Float:
    """The table [n, 2] of a plain mean of values [n], whose statistic is `ratio`."""
    return np.stack([values, np.ones(len(values))], axis=1)


def bootstrap(
    statistic: Statistic,
    table: Float,
    seed: int = 0,
    rounds: int = 1000,
    *,
    group: NDArray[np.int64] | None = None,
) -> tuple[float, float, float]:
    """The figure of table [n, K] with its 95 % percentile bootstrap interval: (value, low, high) (Efron & Tibshirani 1993, chapter 13).

    group: int64 [n], items that are resampled together (the forms of one concept), each on its own by default. Resampling cannot
    vary what is always wrong or always right: for plain rates `metrics.intervals` knows better.
    Raises DataError for fewer than two groups.
    """
    group = _groups(table, group)
    low, high = percentiles([statistic(sums) for sums in resampled(table, group, resamples=rounds, seed=seed)])
    return statistic(table.sum(axis=0)), low, high


def paired_bootstrap(
    statistic: Statistic,
    a: Float,
    b: Float,
    seed: int = 0,
    rounds: int = 1000,
    *,
    group: NDArray[np.int64] | None = None,
) -> tuple[float, float, float]:
    """How much better a is than b on the same items: (statistic of a − statistic of b, low, high), a 95 % percentile interval
    (paired bootstrap: Koehn 2004, "Statistical Significance Tests for Machine Translation Evaluation", section 4).

    a, b: tables [n, K], row for row of the same item; each round draws the same items from both, so what makes an item hard for
    both cancels. group: as in `bootstrap`. Raises DataError where the tables differ in shape, or for fewer than two groups.
    """
    if a.shape != b.shape:
        raise DataError(
            f"paired tables must be of one shape, got {a.shape} and {b.shape}: measure both on the same items"
        )
    width = a.shape[1]

    def difference(sums: Float) -> float:
        return statistic(sums[:width]) - statistic(sums[width:])

    return bootstrap(difference, np.concatenate([a, b], axis=1), seed, rounds, group=group)


def percentiles(values: Sequence[float]) -> tuple[float, float]:
    """The ends of the interval that holds LEVEL of the values in its middle."""
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(values, [tail, 100 - tail])
    return float(low), float(high)


def _groups(table: Float, group: NDArray[np.int64] | None) -> NDArray[np.int64]:
    group = np.arange(len(table)) if group is None else group
    if len(group) != len(table):
        raise DataError(f"{len(table)} items and {len(group)} groups: give each item its group")
    if len(np.unique(group)) < 2:
        raise DataError("an interval needs items of at least two groups: measure on more items")
    return group
