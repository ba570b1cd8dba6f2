"""The linear baseline that every figure stands beside: what pixel statistics and letter counts already know.

Pictures of 24 × 24 pixels → PCA; texts → tf-idf of letter n-grams → truncated SVD; coarse log-mel → PCA; then
regularised canonical correlation between each two (Hotelling 1936; Vinod 1976 for the ridge), all fitted on
the train split alone.
A model that does not beat this has not learned what the data set is for.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Embedding = NDArray[np.float32]

COMPONENTS = {"image": 200, "audio": 200, "video": 200, "text": 400}
RIDGE = 0.1
"""Added to each covariance, in units of its mean variance."""
POWER = 1.0
"""Canonical directions are weighted by their correlation to this power: weak ones are mostly noise."""
FIT = 6_000
"""Train rows fitted on at most, drawn by seed: time stays bounded and the fit no longer improves."""
FEWEST = 16
"""Train pairs below which a fit says nothing."""


@dataclass(frozen=True, slots=True)
class Linear:
    """The fitted baseline's embeddings, row for row with the items given.

    pairs[(a, b)]: unit-length float32 ([Ia, K], [Ib, K]); reasons[(a, b)]: why a pair has none.
    """

    pairs: dict[tuple[str, str], tuple[Embedding, Embedding]]
    reasons: dict[tuple[str, str], str]

    def embedding(self, query: str, target: str) -> tuple[Embedding, Embedding] | None:
        """(query side, target side) of an ordered pair, or None."""
        if (query, target) in self.pairs:
            return self.pairs[query, target]
        turned = self.pairs.get((target, query))
        return None if turned is None else (turned[1], turned[0])


def fit_baseline(
    raw: Mapping[str, list[Any]],
    rows: Mapping[str, NDArray[np.int64]],
    train: NDArray[np.bool_],
    *,
    seed: int = 0,
) -> Linear:
    """Fit on the rows where train [rows of the table] is True; embed every item.

    raw[m]: the I_m items as `raw.read_raw` gives them; rows[m]: int64 [I_m], their table positions,
    ascending.
    """
    fitted = _subsample(train, seed)
    reduced = {
        name: reduce(name, values, fitted[rows[name]], seed)
        for name, values in raw.items()
        if name in COMPONENTS and int(fitted[rows[name]].sum()) >= FEWEST
    }
    pairs: dict[tuple[str, str], tuple[Embedding, Embedding]] = {}
    reasons: dict[tuple[str, str], str] = {}
    names = list(raw)
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            shared = np.intersect1d(rows[a], rows[b], assume_unique=True)
            shared = shared[fitted[shared]]
            if a not in reduced or b not in reduced or len(shared) < FEWEST:
                reasons[a, b] = f"{len(shared)} train rows have both {a} and {b}; {FEWEST} are needed"
                continue
            x, y = reduced[a], reduced[b]
            left, right = correlate(x[np.searchsorted(rows[a], shared)], y[np.searchsorted(rows[b], shared)])
            pairs[a, b] = left(x), right(y)
    return Linear(pairs, reasons)


def reduce(modality: str, values: list[Any], fitted: NDArray[np.bool_], seed: int) -> Embedding:
    """Items → float32 [I, P ≤ COMPONENTS], the directions learned from the `fitted` [I] items only."""
    from sklearn.decomposition import PCA, TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    width = min(COMPONENTS[modality], int(fitted.sum()) - 1)
    if modality == "text":
        letters = TfidfVectorizer(
            analyzer="char_wb", ngram_range=(1, 4), min_df=2, max_features=20_000, sublinear_tf=True
        )
        try:
            letters.fit([text for text, keep in zip(values, fitted, strict=True) if keep])
        except ValueError:  # no letters in common at all
            return np.zeros((len(values), 1), dtype=np.float32)
        counts: Any = letters.transform(values)
        if counts.shape[1] <= width:
            return np.asarray(counts.toarray(), dtype=np.float32)
        svd = TruncatedSVD(width, random_state=seed, n_iter=4)
        with warnings.catch_warnings():  # a constant column has no variance to explain, and that is all right
            warnings.simplefilter("ignore", RuntimeWarning)
            svd.fit(counts[fitted])
        return np.asarray(svd.transform(counts), dtype=np.float32)
    grid = np.stack(values).astype(np.float32)
    if modality in ("image", "video"):
        grid /= 255.0
    pca = PCA(min(width, grid.shape[1]), svd_solver="randomized", random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        pca.fit(grid[fitted])
    return np.asarray(pca.transform(grid), dtype=np.float32)


class Projection:
    """One side of a canonical correlation: centre, project, scale to unit length."""

    def __init__(self, mean: Embedding, matrix: Embedding) -> None:
        self._mean = mean
        self._matrix = matrix

    def __call__(self, x: Embedding) -> Embedding:
        """[I, P] → unit-length [I, K]; a zero row stays zero."""
        projected = (x - self._mean) @ self._matrix
        length = np.linalg.norm(projected, axis=1, keepdims=True)
        return (projected / np.maximum(length, 1e-12)).astype(np.float32)


def correlate(x: Embedding, y: Embedding) -> tuple[Projection, Projection]:
    """Regularised canonical correlation of paired rows x [n, P], y [n, Q], in closed form.

    With whitening W = (C + ridge)^(−1/2), the SVD of Wx Cxy Wy = U diag(s) Vᵀ gives the directions Wx U and
    Wy V;
    each is weighted by s^POWER.
    """
    mean_x, mean_y = x.mean(axis=0), y.mean(axis=0)
    a, b = (x - mean_x).astype(np.float64), (y - mean_y).astype(np.float64)
    whiten_a, whiten_b = _whitening(a), _whitening(b)
    u, s, v = np.linalg.svd(whiten_a @ (a.T @ b / len(a)) @ whiten_b, full_matrices=False)
    weight = s**POWER
    return (
        Projection(mean_x, (whiten_a @ u * weight).astype(np.float32)),
        Projection(mean_y, (whiten_b @ v.T * weight).astype(np.float32)),
    )


def _whitening(centred: NDArray[np.float64]) -> NDArray[np.float64]:
    covariance = centred.T @ centred / len(centred)
    width = len(covariance)
    ridge = RIDGE * float(np.trace(covariance)) / width + 1e-12
    value, vector = np.linalg.eigh(covariance + ridge * np.eye(width))
    return (vector / np.sqrt(np.maximum(value, 1e-12))) @ vector.T


def _subsample(train: NDArray[np.bool_], seed: int) -> NDArray[np.bool_]:
    rows = np.flatnonzero(train)
    if len(rows) > FIT:
        rows = np.random.default_rng(seed).choice(rows, FIT, replace=False)
    kept = np.zeros(len(train), dtype=bool)
    kept[rows] = True
    return kept
