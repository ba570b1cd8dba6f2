"""Do raters agree? An interval of Krippendorff's alpha (dataset/agreement.py), and Cohen's kappa: pure functions of arrays.

Legend: U units (things rated) · M raters. A rating that is not there is NaN.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from chiasm.dataset.agreement import Level, alpha_of, coincidences
from chiasm.evaluate.metrics.bootstrap import bounds

Float = NDArray[np.float64]


def krippendorff_interval(ratings: Float, level: Level, seed: int = 0, resamples: int = 1000) -> tuple[float, float]:
    """95 % percentile bootstrap of krippendorff(ratings [M, U], level) over units; NaN where it has no value."""
    values = np.unique(ratings[np.isfinite(ratings)])
    each = np.stack([coincidences(ratings[:, [u]], values)[0] for u in range(ratings.shape[1])])
    rng = np.random.default_rng(seed)
    drawn = np.array(
        [alpha_of(each[rng.integers(0, len(each), len(each))].sum(0), values, level) for _ in range(resamples)]
    )
    return bounds(drawn) if np.isfinite(drawn).any() else (float("nan"), float("nan"))


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
