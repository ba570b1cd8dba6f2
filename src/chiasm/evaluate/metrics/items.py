"""Rankings of items, as search and recommendation judge them: hits, reciprocal rank, precision, discounted gain. n users or queries.

Of items that have scores, ties settled fairly: ranks.py.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from chiasm.evaluate.metrics.ranks import average_precision

Float = NDArray[np.float64]


def hit_at_k(ranked: Sequence[Sequence[str]], wanted: Sequence[str | Collection[str]], k: int) -> Float:
    """Whether a wanted one is among the first k of each ranking: 0 or 1, [n]. The mean is HR@k, the hit ratio (He et al. 2017,
    "Neural Collaborative Filtering", arXiv 1708.05031, 4.1); with one wanted item that is also recall@k."""
    pairs = zip(ranked, wanted, strict=True)
    return np.array([float(not _several(one).isdisjoint(first[:k])) for first, one in pairs], dtype=np.float64)


def reciprocal_rank(ranked: Sequence[Sequence[str]], wanted: Sequence[str | Collection[str]]) -> Float:
    """1 / the place of the first wanted item in each ranking, from 1; 0 where the ranking lacks it: [n]. The mean is MRR (Voorhees 1999,
    TREC-8 question answering track report)."""
    found: list[float] = []
    for first, one in zip(ranked, wanted, strict=True):
        those = _several(one)
        found.append(next((1 / place for place, item in enumerate(first, 1) if item in those), 0.0))
    return np.array(found, dtype=np.float64)


def average_precisions(ranked: Sequence[Sequence[str]], wanted: Sequence[str | Collection[str]]) -> Float:
    """Of each ranking the mean, over what is wanted, of the precision where it stands; 0 for what the ranking lacks: [n]. The mean is MAP."""
    found: list[float] = []
    for first, one in zip(ranked, wanted, strict=True):
        those = _several(one)
        right = np.array([item in those for item in first], dtype=bool)
        found.append(average_precision(-np.arange(len(first), dtype=np.float64), right, len(those)))
    return np.array(found, dtype=np.float64)


def ndcg_at_k(ranked: Sequence[Sequence[str]], gains: Sequence[Mapping[str, float]], k: int) -> Float:
    """Discounted gain of the first k of each ranking over that of the best one, 0 … 1, [n] (Järvelin & Kekäläinen 2002; the gain as it
    is, discounted by log₂(place + 1), as scikit-learn has it). gains: what each item is worth, 0 where not named; 0 where none is."""
    found: list[float] = []
    for first, worth in zip(ranked, gains, strict=True):
        best = _discounted(sorted(worth.values(), reverse=True)[:k])
        found.append(_discounted([worth.get(item, 0.0) for item in first[:k]]) / best if best else 0.0)
    return np.array(found, dtype=np.float64)


def _discounted(gains: Sequence[float]) -> float:
    return float((np.asarray(gains, np.float64) / np.log2(np.arange(2, len(gains) + 2))).sum()) if gains else 0.0


def _several(wanted: str | Collection[str]) -> set[str]:
    return {wanted} if isinstance(wanted, str) else set(wanted)
