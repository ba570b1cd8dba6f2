"""What a space of embeddings is like: alignment, uniformity, the gap between modalities, likeness of two spaces, probes.

Legend: n items · E embedding width · C classes.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chiasm.errors import DataError

Float = NDArray[np.float64]
Ints = NDArray[np.int64]
Vectors = NDArray[np.floating[Any]]

NEIGHBOURS = 20
_BLOCK = 2048


def alignment(a: Vectors, b: Vectors, power: float = 2.0) -> float:
    """Mean distance of the pairs, to a power: 0 where each pair falls together (Wang & Isola 2020, arXiv 2005.10242, Eq. 3).

    a, b: unit-length [n, E], row for row a pair. Raises DataError where the shapes differ or there is no pair."""
    if a.shape != b.shape or not len(a):
        raise DataError(f"alignment needs pairs, got {a.shape} and {b.shape}")
    return float((np.linalg.norm(a.astype(np.float64) - b, axis=1) ** power).mean())


def uniformity(x: Vectors, t: float = 2.0) -> float:
    """Log of the mean Gaussian potential over all pairs, the lower the more evenly spread, 0 where all fall together
    (arXiv 2005.10242, Eq. 4). x: unit-length [n, E]. Raises DataError for fewer than two items."""
    n = len(x)
    if n < 2:
        raise DataError("uniformity needs two items at least")
    x = x.astype(np.float64)
    square = (x**2).sum(1)
    total = 0.0
    for start in range(0, n, _BLOCK):
        part = x[start : start + _BLOCK]
        distance = square[start : start + _BLOCK, None] + square[None] - 2 * part @ x.T
        total += float(np.exp(-t * np.maximum(distance, 0)).sum())
    return float(np.log((total - n) / (n * (n - 1))))  # each with itself is no pair


def modality_gap(a: Vectors, b: Vectors) -> float:
    """Distance between the centres of two modalities (Liang et al., arXiv 2203.02053, section 2). a: [n, E]; b: [m, E].

    Raises DataError where one is empty."""
    if not len(a) or not len(b):
        raise DataError("a gap needs items on both sides")
    return float(np.linalg.norm(a.mean(axis=0, dtype=np.float64) - b.mean(axis=0, dtype=np.float64)))


def linear_cka(a: Vectors, b: Vectors) -> float:
    """How alike two representations of the same items are, 0 … 1, whatever their rotation and scale (linear centred kernel alignment:
    Kornblith et al., arXiv 1905.00414, section 3). a: [n, E]; b: [n, E′]. 0 where one is constant. Raises DataError where n differ."""
    if len(a) != len(b) or not len(a):
        raise DataError(f"representations of the same items are of one number, got {len(a)} and {len(b)}")
    x, y = (m.astype(np.float64) - m.mean(axis=0, dtype=np.float64) for m in (a, b))
    if len(x) < max(x.shape[1], y.shape[1]):  # over the items where that is the smaller matrix
        k, l = x @ x.T, y @ y.T
        shared, own = float((k * l).sum()), float(np.linalg.norm(k) * np.linalg.norm(l))
    else:
        shared = float(np.linalg.norm(x.T @ y) ** 2)
        own = float(np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y))
    return shared / own if own else 0.0


def linear_probe(x: Float, y: Ints, test: Float) -> Ints:
    """Predictions of multinomial logistic regression on standardised features, fitted on (x, y)."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    scale = StandardScaler().fit(x)
    with threadpool_limits(1, "blas"), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the last of 300 steps changes no answer
        # Features outnumber what a small table can determine: the penalty grows with their number.
        model = LogisticRegression(C=10 / x.shape[1], max_iter=300, tol=1e-3).fit(scale.transform(x), y)
    return np.asarray(model.predict(scale.transform(test)), np.int64)


def nearest(x: Float, y: Ints, test: Float, k: int = NEIGHBOURS) -> Ints:
    """The class of most of the k nearest by cosine (Wu et al., arXiv 1805.01978, 3.4, without weights)."""
    a, b = (m / np.maximum(np.linalg.norm(m, axis=1, keepdims=True), 1e-12) for m in (test, x))
    found: list[int] = []
    for start in range(0, len(a), _BLOCK):
        best = np.argpartition(-(a[start : start + _BLOCK] @ b.T), min(k, len(x)) - 1, axis=1)[:, :k]
        found += [int(np.bincount(row).argmax()) for row in y[best]]
    return np.array(found, np.int64)
