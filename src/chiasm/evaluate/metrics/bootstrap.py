"""Intervals by resampling whole groups of items (Efron & Tibshirani 1993, chapter 13): of rates, means, and measures that are no plain mean.

A *table* [n, K] holds what each of n items adds to the K sums that a measure is made of: right and asked for a rate, errors
and words for a word error rate, the n-gram counts of chrF. A *statistic* turns the sums [K] into the figure, so that it can be
taken again over any resample of the items. Items of one group (the forms of one concept) are found or missed together, and
resampling single ones would make every interval too narrow.

Legend: n items · K sums · R resamples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from chiasm.errors import DataError

Float = NDArray[np.float64]
Ints = NDArray[np.int64]
Statistic = Callable[[Float], float]
"""Sums [K] → the figure."""

RESAMPLES = 1000
LEVEL = 0.95
_CELLS = 4_000_000
"""Weights held at a time."""


def weights(groups: int, resamples: int = RESAMPLES, seed: int = 0) -> Iterator[Float]:
    """How often each of `groups` groups is drawn in each bootstrap resample: blocks [up to R, groups] that make R rows together."""
    rng = np.random.default_rng(seed)
    step = max(1, min(resamples, _CELLS // groups))
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        drawn = rng.integers(0, groups, size=(rows, groups)) + groups * np.arange(rows)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * groups).reshape(rows, groups).astype(np.float64)


def resampled(table: Float, group: Ints, *, resamples: int = RESAMPLES, seed: int = 0) -> Float:
    """Column sums of `table` [n, K] over each bootstrap resample of whole groups, group: int64 [n] → [R, K]."""
    _, member = np.unique(group, return_inverse=True)
    groups = int(member.max()) + 1
    sums = np.stack([np.bincount(member, weights=column, minlength=groups) for column in table.T], 1)
    return np.concatenate([drawn @ sums for drawn in weights(groups, resamples, seed)])


def bounds(drawn: Float | Sequence[float], level: float = LEVEL) -> tuple[float, float]:
    """The percentiles that hold `level` of what was drawn [R]; what is not a number is left out."""
    tail = 100 * (1 - level) / 2
    low, high = np.nanpercentile(drawn, [tail, 100 - tail])
    return float(low), float(high)


def means(values: Mapping[str, Float], group: Ints, seed: int = 0, resamples: int = RESAMPLES) -> dict[str, Float]:
    """Each named value's mean [n] in each bootstrap resample of whole groups [R], the same resamples for all."""
    if not values:
        return {}
    table = np.stack([*values.values(), np.ones(len(group))], 1)
    sums = resampled(table, group, resamples=resamples, seed=seed)
    return {name: sums[:, i] / sums[:, -1] for i, name in enumerate(values)}


def mean_intervals(
    values: Mapping[str, Float], group: Ints, seed: int = 0, level: float = LEVEL, resamples: int = RESAMPLES
) -> dict[str, tuple[float, float]]:
    """Percentile intervals of the mean of each named value [n]; values have any range. One group alone gives the values' whole range."""
    if len(np.unique(group)) < 2:
        return {name: (float(value.min()), float(value.max())) for name, value in values.items() if len(value)}
    return {name: bounds(drawn, level) for name, drawn in means(values, group, seed, resamples).items()}


def intervals(
    values: Mapping[str, Float], group: Ints, *, resamples: int = RESAMPLES, level: float = LEVEL, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """`mean_intervals` of rates, values [n] in 0 … 1.

    Resampling cannot vary what is always 0 or always 1, so there the exact binomial bound over the groups stands in
    (Clopper & Pearson 1934). Of no items (0, 0).
    """
    if not len(group):
        return dict.fromkeys(values, (0.0, 0.0))
    found = mean_intervals(values, group, seed, level, resamples)
    # How often what never happened in so many groups may happen.
    unseen = 1 - ((1 - level) / 2) ** (1 / len(np.unique(group)))
    for name, value in values.items():
        if value.max() <= 0.0:
            found[name] = (0.0, unseen)
        elif value.min() >= 1.0:
            found[name] = (1.0 - unseen, 1.0)
    return found


def ratio(sums: Float) -> float:
    """The statistic of a table of two columns: the first sum over the second, 0 where that is 0."""
    return float(sums[0] / sums[1]) if sums[1] else 0.0


def rates(values: Float) -> Float:
    """The table [n, 2] of a plain mean of values [n], whose statistic is `ratio`."""
    return np.stack([values, np.ones(len(values))], axis=1)


def bootstrap(
    statistic: Statistic, table: Float, seed: int = 0, rounds: int = RESAMPLES, *, group: Ints | None = None
) -> tuple[float, float, float]:
    """The figure of table [n, K] with its 95 % percentile bootstrap interval: (value, low, high).

    group: int64 [n], items that are resampled together (the forms of one concept), each on its own by default. Resampling cannot
    vary what is always wrong or always right: for plain rates `intervals` knows better.
    Raises DataError for fewer than two groups.
    """
    group = _groups(table, group)
    low, high = bounds([statistic(sums) for sums in resampled(table, group, resamples=rounds, seed=seed)])
    return statistic(table.sum(axis=0)), low, high


def paired_bootstrap(
    statistic: Statistic, a: Float, b: Float, seed: int = 0, rounds: int = RESAMPLES, *, group: Ints | None = None
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


def _groups(table: Float, group: Ints | None) -> Ints:
    group = np.arange(len(table)) if group is None else group
    if len(group) != len(table):
        raise DataError(f"{len(table)} items and {len(group)} groups: give each item its group")
    if len(np.unique(group)) < 2:
        raise DataError("an interval needs items of at least two groups: measure on more items")
    return group
