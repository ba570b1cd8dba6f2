"""How good and how varied what a model makes is: distances of distributions of features, likeness to the wanted, repetition.

Legend: n made · m real · E feature width. Features are a model's own (chiasm's embeddings): figures compare only with those of the same model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chiasm.errors import DataError
from chiasm.evaluate.metrics.captions import bleu_among
from chiasm.evaluate.metrics.ngrams import ORDERS

Float = NDArray[np.float64]
Vectors = NDArray[np.floating[Any]]

NEIGHBOURS = 3
CLIP_WEIGHT = 2.5
_BLOCK = 1024


def frechet_distance(made: Vectors, real: Vectors) -> float:
    """Distance of the Gaussians fitted to two sets of features: ‖μ₁ − μ₂‖² + tr(Σ₁ + Σ₂ − 2 (Σ₁Σ₂)^½), 0 for equal ones
    (FID: Heusel et al., arXiv 1706.08500, Eq. 6, there on Inception's features).

    made: [n, E]; real: [m, E]. With fewer than about E items each it is biased upwards. Raises DataError for fewer than two items."""
    if len(made) < 2 or len(real) < 2 or made.shape[1] != real.shape[1]:
        raise DataError(f"a Fréchet distance needs two items a side and one width, got {made.shape} and {real.shape}")
    a, b = made.astype(np.float64), real.astype(np.float64)
    one, two = (np.atleast_2d(np.cov(x, rowvar=False)) for x in (a, b))
    # tr (Σ₁Σ₂)^½ = the sum of the roots of the eigenvalues of Σ₁^½ Σ₂ Σ₁^½, which is symmetric: no root of a skewed matrix.
    value, vector = np.linalg.eigh(one)
    root = (vector * np.sqrt(np.maximum(value, 0))) @ vector.T
    shared = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ two @ root), 0)).sum()
    return float(max(((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(one) + np.trace(two) - 2 * shared, 0.0))


def precision_recall(made: Vectors, real: Vectors, k: int = NEIGHBOURS) -> tuple[float, float]:
    """(precision, recall): the share of what was made that lies among the real, and of the real that lies among what was made
    (Kynkäänniemi et al. 2019, arXiv 1904.06991, section 2).

    "Among" is inside of a ball round one of them that reaches to its k-th neighbour. Raises DataError for k items or fewer."""
    if min(len(made), len(real)) <= k:
        raise DataError(f"precision and recall need more than {k} items a side, got {len(made)} and {len(real)}")
    a, b = made.astype(np.float64), real.astype(np.float64)
    return _covered(a, b, k), _covered(b, a, k)


def _covered(points: Float, balls: Float, k: int) -> float:
    """The share of the points that lie in a ball."""
    reach = np.concatenate([np.partition(part, k, axis=1)[:, k] for part in _distances(balls, balls)])
    return float(np.concatenate([(part <= reach[None]).any(axis=1) for part in _distances(points, balls)]).mean())


def _distances(a: Float, b: Float) -> Iterator[Float]:
    """A block of rows at a time: not all of them are in memory."""
    from scipy.spatial.distance import cdist

    for start in range(0, len(a), _BLOCK):
        yield np.asarray(cdist(a[start : start + _BLOCK], b), np.float64)


def clip_scores(made: Vectors, wanted: Vectors) -> Float:
    """2.5 · max(cos, 0) of each pair [n] (CLIPScore: Hessel et al., arXiv 2104.08718, section 3), by a model's own embeddings [n, E].

    Raises DataError where the shapes differ."""
    if made.shape != wanted.shape:
        raise DataError(f"each of what was made needs its text: got {made.shape} and {wanted.shape}")
    a, b = (x.astype(np.float64) / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12) for x in (made, wanted))
    return CLIP_WEIGHT * np.maximum((a * b).sum(axis=1), 0.0)


def self_bleu(texts: Sequence[str]) -> list[float]:
    """Mean BLEU-1 … 4 of each tokenised text against all others: 1 where all are alike, low where they vary (Zhu et al., arXiv 1802.01886,
    2.3). Raises DataError for fewer than two."""
    if len(texts) < 2:
        raise DataError("self-BLEU needs two texts at least")
    return [float(one) for one in bleu_among(texts).mean(axis=0)]


def distinct(texts: Sequence[str], order: int) -> float:
    """Different n-grams over all n-grams of the tokenised texts (Li et al., arXiv 1510.03055, 5.2); 0 where there is none."""
    if not 1 <= order <= ORDERS:
        raise DataError(f"distinct-n counts 1 to {ORDERS} words, not {order}")
    grams = [tuple(words[i : i + order]) for words in map(str.split, texts) for i in range(len(words) - order + 1)]
    return len(set(grams)) / len(grams) if grams else 0.0
