"""Whether a confidence of 0.9 is right nine times of ten, and how to make it so."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from chiasm.errors import DataError

BINS = 15
"""Of the calibration error (Guo et al. 2017, section 4)."""
COLDEST, HOTTEST = 1e-3, 1e3
"""Between these the temperature is sought."""


def softmax(logits: NDArray[np.float64], temperature: float = 1.0) -> NDArray[np.float64]:
    """Rows of `logits` [n, k] → shares that add up to 1."""
    scaled = logits / temperature
    share = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return share / share.sum(axis=1, keepdims=True)


def expected_calibration_error(
    probabilities: NDArray[np.float64], labels: NDArray[np.int64], bins: int = BINS
) -> float:
    """`calibration_error` of the greatest probability of each row. probabilities: [n, k]; labels: int64 [n]; 0 where there are no rows."""
    if not len(labels):
        return 0.0
    return calibration_error(probabilities.max(axis=1), probabilities.argmax(axis=1) == labels, bins)


def calibration_error(confidence: NDArray[np.float64], right: NDArray[np.bool_], bins: int = BINS) -> float:
    """Expected calibration error: how far the share of right answers lies from the confidence, over bins of equal width, 0 … 1, weighed by
    their rows (Guo et al. 2017, arXiv 1706.04599, equation 3).

    confidence: [n] of the class that was given, 0 … 1; right: bool [n]. A bin holds its upper end and not its lower one; the first holds 0 too.
    Raises DataError for confidences outside of 0 … 1, or none."""
    if not len(confidence) or not ((confidence >= 0) & (confidence <= 1)).all():
        raise DataError("calibration needs confidences from 0 to 1, at least one")
    place = np.searchsorted(np.arange(1, bins) / bins, confidence, side="left")
    surplus = np.bincount(place, weights=right - confidence, minlength=bins)
    return float(np.abs(surplus).sum() / len(confidence))


def fit_temperature(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """The temperature that makes `labels` [n] likeliest under softmax(logits / T), logits [n, k] (the same, 4.2): no prediction changes.

    1 where there are no rows. The likelihood is unimodal in 1/T, so bounded one-dimensional search finds it.
    """
    from scipy.optimize import minimize_scalar

    if not len(labels):
        return 1.0
    rows = np.arange(len(labels))

    def loss(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        top = scaled.max(axis=1)
        normaliser = top + np.log(np.exp(scaled - top[:, None]).sum(axis=1))
        return float((normaliser - scaled[rows, labels]).mean())

    found: Any = minimize_scalar(
        loss, bounds=(np.log(COLDEST), np.log(HOTTEST)), method="bounded", options={"xatol": 1e-4}
    )
    return float(np.exp(found.x))
