"""Do annotators agree? Krippendorff's alpha, for manual labels and for ratings.

Legend: U units (things that are labelled) · M annotators · V values. What an annotator did not say is NaN.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
Level = Literal["nominal", "ordinal", "interval"]


def krippendorff(ratings: Float, level: Level) -> float:
    """α = 1 − observed / expected disagreement of ratings [M, U] ("Computing Krippendorff's Alpha-Reliability", 2011, section C): 1 is perfect,
    0 is chance.

    Units that fewer than two rated say nothing. NaN where no two ratings can be compared; 1 where all are the same value: nothing disagrees,
    and 0 of 0 is taken as none.
    """
    return alpha_of(*coincidences(ratings), level)


def coincidences(ratings: Float, values: Float | None = None) -> tuple[Float, Float]:
    """How often each two values meet in a unit [V, V], each unit weighing as many pairs as it has ratings; and the values [V], ascending.

    ratings: [M, U]; values: those that may occur, where it is known.
    """
    rated = np.isfinite(ratings)
    values = np.unique(ratings[rated]) if values is None else values
    counts = np.zeros((ratings.shape[1], len(values)))
    rater, unit = np.nonzero(rated)
    np.add.at(counts, (unit, np.searchsorted(values, ratings[rater, unit])), 1.0)
    several = counts[counts.sum(1) >= 2]
    weight = 1.0 / (several.sum(1) - 1)[:, None]
    # The sum over units of c cᵀ − diag(c), by their weights: a rating meets every other of its unit, and not itself.
    return several.T @ (several * weight) - np.diag((several * weight).sum(0)), values


def alpha_of(met: Float, values: Float, level: Level) -> float:
    """`krippendorff` of what `coincidences` gives."""
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
