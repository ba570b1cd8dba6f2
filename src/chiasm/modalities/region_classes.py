"""How a region's pixels become whitened features, and features a class distribution."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from chiasm.errors import DataError

Floats = NDArray[np.float32]

MOST_CLUSTERED = 20_000
"""Crops that the clusters are learned from."""
NORMAL = 2.0
"""The temperature at which exp(−distance² / temperature) is a normal distribution of covariance 1."""


def project(x: Floats, mean: Floats | None, components: Floats) -> Floats:
    """x: [..., D], mean [D], components [D, F] → [..., F]."""
    return np.matmul(x if mean is None else x - mean, components, dtype=np.float32)


def whiten(crops: Floats, width: int) -> tuple[Floats, Floats, Floats]:
    """Principal components scaled to variance 1: mean [D], components [D, F], and the standard deviations [F] that the scaling took away.

    Directions that vary by less than a thousandth (of a pixel's range, and of the widest direction) are scaled up no further: they hold rounding.
    """
    mean = crops.mean(0, dtype=np.float64)
    centred = crops - mean.astype(np.float32)
    values, vectors = np.linalg.eigh((centred.T @ centred).astype(np.float64) / max(len(crops) - 1, 1))
    values, vectors = values[::-1][:width], vectors[:, ::-1][:, :width]
    # eigh leaves the sign open: the largest entry is positive.
    vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(0), np.arange(width)])
    scale = np.sqrt(np.maximum(values, max(values[0], 1) * 1e-6))
    return mean.astype(np.float32), (vectors / scale).astype(np.float32), scale.astype(np.float32)


def discriminate(
    features: Floats, number: NDArray[np.int64], classes: int, random: np.random.Generator
) -> tuple[Floats, Floats, float]:
    """Linear discriminant analysis with a shrunk within-class covariance (Ledoit and Wolf 2004): space [F, F] in which that covariance is 1,
    centroids [C, F], and the temperature that fits a fifth of the boxes when the rest is learned from. number: −1 where a label has no class.
    """
    known = number >= 0
    if known.sum() < 2:
        raise DataError("regions are learned from at least two boxes of the classes that are kept")
    held = random.random(len(number)) < 0.2
    learned, tested = known & ~held, known & held & np.isin(number, number[known & ~held])
    temperature = NORMAL
    if tested.any() and learned.sum() > 1:
        space, centroids = _discriminant(features[learned], number[learned], classes)
        # Softer only: where every held-out box is right, the fit would say "certain" of all that it never saw.
        temperature = max(
            NORMAL, _temperature(distances(project(features[tested], None, space), centroids), number[tested])
        )
    return *_discriminant(features[known], number[known], classes), temperature


def _discriminant(features: Floats, number: NDArray[np.int64], classes: int) -> tuple[Floats, Floats]:
    from sklearn.covariance import ledoit_wolf

    count = np.bincount(number, minlength=classes)
    mean = np.zeros((classes, features.shape[1]), np.float64)
    np.add.at(mean, number, features)
    mean /= np.maximum(count, 1)[:, None]
    covariance = np.asarray(ledoit_wolf(features - mean[number], assume_centered=True)[0])
    values, vectors = np.linalg.eigh(covariance)
    space = vectors / np.sqrt(np.maximum(values, 1e-4))
    # A class that nothing was seen of is infinitely far; finite, so that it has a place in float32.
    centroids = np.where(count[:, None] > 0, mean @ space, 1e6)
    return space.astype(np.float32), centroids.astype(np.float32)


def clusters(
    features: Floats, moved: Floats, scale: Floats, classes: int, seed: int, random: np.random.Generator
) -> tuple[Floats, Floats, float]:
    """k-means on the principal components as they were before whitening (whitened, noise would count as much as shape): space [F, F],
    centroids [C, F], and the temperature at which a cell moved a little (`moved`) is best told to be of its cluster."""
    from sklearn.cluster import KMeans

    space = np.diag(scale)
    points = project(features, None, space)
    chosen = (
        points if len(points) <= MOST_CLUSTERED else points[random.choice(len(points), MOST_CLUSTERED, replace=False)]
    )
    distinct = len(np.unique(np.round(chosen, 3), axis=0))
    centroids = (
        KMeans(min(classes, distinct), n_init="auto", random_state=seed).fit(chosen).cluster_centers_.astype(np.float32)
    )
    number = distances(points, centroids).argmin(1)
    return space, centroids, _temperature(distances(project(moved, None, space), centroids), number)


def distances(points: Floats, centroids: Floats) -> Floats:
    """Squared Euclidean distances: [..., L], [C, L] → [..., C]."""
    return (points**2).sum(-1, keepdims=True) - 2 * points @ centroids.T + (centroids**2).sum(-1)


def _temperature(distances: Floats, number: NDArray[np.int64]) -> float:
    """The temperature of least cross-entropy (Guo et al., arXiv 1706.04599), to a tenth, between 2⁻¹² and 2¹²."""
    closest = distances - distances.min(1, keepdims=True)
    own = closest[np.arange(len(number)), number]

    def entropy(temperature: float) -> float:
        return float((own / temperature + np.log(np.exp(-closest / temperature).sum(1))).mean())

    return min(2.0 ** np.arange(-12, 12.01, 0.125), key=entropy)


def softmax(logits: Floats) -> Floats:
    grown = np.exp(logits - logits.max(-1, keepdims=True))
    return grown / grown.sum(-1, keepdims=True)
