"""Clusters of rows that nobody labelled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

NOISE = -1
COUNTS = (2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32)
"""Numbers of clusters that are tried where none is asked for."""

SAMPLE = 3000
"""Rows that a silhouette is measured on."""

MINIBATCH = 20_000
"""From so many rows on, k-means learns in minibatches (Sculley 2010)."""

DENSITY_WIDTH = 20
"""Principal components in which HDBSCAN looks for density: in hundreds of dimensions there is none."""


@dataclass(frozen=True, slots=True)
class Clusters:
    """labels: int64 [n], 0 for the largest cluster, NOISE for none · silhouette: its mean over clustered rows (Rousseeuw 1987), −1 … 1,
    NaN for fewer than two clusters · tried: number of clusters → silhouette, where several were tried."""

    labels: Ints
    silhouette: float
    tried: dict[int, float]


def cluster_kmeans(x: Floats, count: int | None, seed: int = 0) -> Clusters:
    """k-means of x [n, d] into `count` clusters, or into as many of COUNTS as give the best silhouette."""
    from sklearn.cluster import KMeans, MiniBatchKMeans
    from threadpoolctl import threadpool_limits

    def fit(k: int) -> Ints:
        kind: Any = KMeans if len(x) < MINIBATCH else MiniBatchKMeans
        return np.asarray(kind(k, n_init=3, random_state=seed).fit_predict(x), np.int64)

    with threadpool_limits(1):  # sums in one order, whatever the machine's cores
        counts = [k for k in ((count,) if count else COUNTS) if k < len(x)]
        if not counts:
            return Clusters(np.zeros(len(x), np.int64), float("nan"), {})
        found = {k: by_size(fit(k)) for k in counts}
        scores = {k: silhouette(x, labels, seed) for k, labels in found.items()}
    best = max(counts, key=lambda k: -np.inf if np.isnan(scores[k]) else scores[k])  # NaN is greater than nothing
    return Clusters(found[best], scores[best], scores if count is None else {})


def cluster_hdbscan(x: Floats, smallest: int, seed: int = 0) -> Clusters:
    """HDBSCAN (Campello et al. 2013) of x [n, d], brought to DENSITY_WIDTH principal components; rows in no dense place are NOISE."""
    from sklearn.cluster import HDBSCAN
    from sklearn.decomposition import PCA
    from threadpoolctl import threadpool_limits

    if len(x) <= smallest:
        return Clusters(np.full(len(x), NOISE, np.int64), float("nan"), {})
    kind: Any = HDBSCAN
    with threadpool_limits(1):
        width = min(DENSITY_WIDTH, *x.shape)
        short = PCA(width, random_state=seed, svd_solver="full").fit_transform(x) if width < x.shape[1] else x
        raw = kind(min_cluster_size=smallest, copy=True).fit_predict(short)
        labels = by_size(np.asarray(raw, np.int64))
        return Clusters(labels, silhouette(x, labels, seed), {})


def by_size(labels: Ints) -> Ints:
    """The same clusters, 0 for the largest, of equal ones the one whose first row comes first; NOISE stays."""
    found, first, count = np.unique(labels[labels != NOISE], return_index=True, return_counts=True)
    order = np.lexsort((first, -count))
    number = {int(found[place]): rank for rank, place in enumerate(order)}
    return np.array([number.get(int(label), NOISE) for label in labels], np.int64)


def silhouette(x: Floats, labels: Ints, seed: int = 0) -> float:
    """The mean silhouette over at most SAMPLE clustered rows; NaN for fewer than two clusters among them."""
    from sklearn.metrics import silhouette_score

    rows = np.flatnonzero(labels != NOISE)
    if len(rows) > SAMPLE:
        rows = np.sort(np.random.default_rng(seed).choice(rows, SAMPLE, replace=False))
    if not 2 <= len(np.unique(labels[rows])) < len(rows):
        return float("nan")
    return float(silhouette_score(x[rows], labels[rows]))
