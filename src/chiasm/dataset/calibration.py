"""Whether a confidence of 0.9 is right nine times of ten, and how to make it so."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 15
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
    """The mean distance between confidence and accuracy, over `bins` equal intervals of the greatest probability, weighed by their rows
    (Guo et al. 2017, arXiv 1706.04599, equation 3). probabilities: [n, k]; labels: int64 [n]; 0 where there are no rows.
    """
    if not len(labels):
        return 0.0
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    place = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    surplus = np.bincount(place, weights=right.astype(np.float64) - confidence, minlength=bins)
    return float(np.abs(surplus).sum() / len(labels))


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
