"""Retrieval and classification metrics: pure functions of arrays.

Legend: Q queries · G gallery items · E embedding width · C classes · K keys an item.

Ties are broken at random in expectation, never in the model's favour: a model that gives every item the same
score gets exactly the score of guessing (McSherry & Najork 2008, "Computing Information Retrieval Performance
Measures Efficiently in the Presence of Tied Scores"). Nothing here draws that randomness; the expectations
are closed forms.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chiasm.errors import DataError, ModelError

Float = NDArray[np.float64]
Embedding = NDArray[np.float32]

CUTS = (1, 5, 10)
"""The k of every R@k."""


@dataclass(frozen=True, slots=True)
class SharedKey:
    """Which gallery items answer which query: those of which any of K integer keys agrees (same record, equal text, equal picture …).

    query: int64 [Q, K]; gallery: int64 [G, K]. A negative key agrees with nothing. Asked for a block of queries at a time, so that
    Q × G is never held.
    """

    query: NDArray[np.int64]
    gallery: NDArray[np.int64]

    def block(self, start: int, stop: int) -> NDArray[np.bool_]:
        """bool [stop − start, G], True where the gallery item is relevant."""
        found = np.zeros((stop - start, len(self.gallery)), dtype=bool)
        for key in range(self.query.shape[1]):
            mine = self.query[start:stop, key, None]
            found |= (mine == self.gallery[None, :, key]) & (mine >= 0)
        return found


@dataclass(frozen=True, slots=True)
class Places:
    """Where each query found its first relevant item; all arrays are [Q].

    better: irrelevant items with a strictly higher score than the best relevant one; tied: irrelevant items
    with its score;
    best: relevant items with its score (≥ 1); relevant: relevant items in all; precision: expected average
    precision.
    """

    better: NDArray[np.int64]
    tied: NDArray[np.int64]
    best: NDArray[np.int64]
    relevant: NDArray[np.int64]
    precision: Float

    def rank(self) -> Float:
        """Expected rank [Q] from 1: 1 + better + tied / (best + 1): with one relevant item, half the ties."""
        return 1.0 + self.better + self.tied / (self.best + 1.0)

    def hit(self, k: int) -> Float:
        """Probability [Q] that the first k items, ties in random order, hold a relevant one."""
        return _drawn(np.clip(k - self.better, 0, None), self.tied + self.best, self.best)


@dataclass(frozen=True, slots=True)
class RetrievalScores:
    """Means over the queries: R@1, R@5, R@10, median rank, mean average precision, and how many queries."""

    r1: float
    r5: float
    r10: float
    median_rank: float
    map: float
    n: int

    def to_json(self) -> dict[str, Any]:
        names = ("r1", "r5", "r10", "median_rank", "map")
        return {**{name: round(float(getattr(self, name)), 6) for name in names}, "n": self.n}


def places(queries: Embedding, gallery: Embedding, relevant: SharedKey, *, block: int = 1024) -> Places:
    """Compare queries [Q, E] with gallery [G, E] by dot product, `block` queries at a time (memory: about 10
    · block · G bytes).

    Raises ModelError where an embedding is not finite (NaN compares false with everything and would rank
    first) and DataError where a query has no relevant item.
    """
    for name, value in (("query", queries), ("gallery", gallery)):
        if not np.isfinite(value).all():
            raise ModelError(f"a {name} embedding is not finite: the model has diverged, or its weights are damaged")
    parts = list(_blocks(queries, gallery, relevant, block))
    if not parts:
        none = np.zeros(0, dtype=np.int64)
        return Places(none, none, none, none, np.zeros(0))
    return Places(
        better=np.concatenate([part.better for part in parts]),
        tied=np.concatenate([part.tied for part in parts]),
        best=np.concatenate([part.best for part in parts]),
        relevant=np.concatenate([part.relevant for part in parts]),
        precision=np.concatenate([part.precision for part in parts]),
    )


def ranks(queries: Embedding, gallery: Embedding, relevant: SharedKey, *, block: int = 1024) -> Float:
    """Expected rank [Q], from 1, of each query's best relevant item (`Places.rank`)."""
    return places(queries, gallery, relevant, block=block).rank()


def _blocks(queries: Embedding, gallery: Embedding, relevant: SharedKey, block: int) -> Iterator[Places]:
    harmonic = _harmonic(len(gallery))
    turned = np.ascontiguousarray(gallery.T)
    for start in range(0, len(queries), block):
        stop = min(start + block, len(queries))
        score = queries[start:stop] @ turned
        wanted = relevant.block(start, stop)
        count = wanted.sum(axis=1)
        if not count.all():
            raise DataError(f"query {start + int(np.argmin(count))} has no relevant item in the gallery")
        top = np.max(score, axis=1, where=wanted, initial=-np.inf)[:, None]
        # Nothing above the best relevant score is relevant, so `better` needs no mask.
        better = (score > top).sum(axis=1)
        level = score == top
        best = (level & wanted).sum(axis=1)
        tied = level.sum(axis=1) - best
        # One relevant item: E[1 / rank] over its equally likely places. Queries with more go one by one.
        precision = (harmonic[better + tied + 1] - harmonic[better]) / (tied + 1)
        for row in np.flatnonzero(count > 1):
            precision[row] = average_precision(score[row], wanted[row])
        yield Places(better, tied, best, count, precision)


def average_precision(score: NDArray[np.floating[Any]], relevant: NDArray[np.bool_], total: int | None = None) -> float:
    """Expected average precision of one ranking, ties in random order. score: [G]; relevant: bool [G]; total: how many relevant items
    there are, where the ranking lacks some (which are then never found); by default those that it has.

    A run of n tied items, r of them relevant, behind N items of which R are relevant adds
    (r / n) · Σ_{i=1…n} (R + 1 + (i − 1)(r − 1)/(n − 1)) / (N + i)   (McSherry & Najork 2008, section 3.3).
    """
    total = int(relevant.sum()) if total is None else total
    if not relevant.any():
        return 0.0
    order = np.argsort(-score, kind="stable")
    ranked = score[order]
    first = np.flatnonzero(np.concatenate(([True], ranked[1:] != ranked[:-1])))
    size = np.diff(np.concatenate((first, [len(score)])))
    found = np.add.reduceat(relevant[order].astype(np.int64), first)
    before = np.cumsum(found) - found
    slope = (found - 1) / np.maximum(size - 1, 1)
    harmonic = _harmonic(len(score))
    span = harmonic[first + size] - harmonic[first]
    part = found / size * ((before + 1 - slope - slope * first) * span + slope * size)
    return float(part[found > 0].sum() / total)


def summarise(found: Places) -> RetrievalScores:
    """The usual five figures. With no queries all are 0 and n is 0."""
    if not len(found.better):
        return RetrievalScores(0.0, 0.0, 0.0, 0.0, 0.0, 0)
    r1, r5, r10 = (float(found.hit(k).mean()) for k in CUTS)
    return RetrievalScores(
        r1, r5, r10, float(np.median(found.rank())), float(found.precision.mean()), len(found.better)
    )


def retrieval(queries: Embedding, gallery: Embedding, relevant: SharedKey, *, block: int = 1024) -> RetrievalScores:
    """R@1/5/10, median rank and mAP of queries [Q, E] against gallery [G, E]; larger dot product = better."""
    return summarise(places(queries, gallery, relevant, block=block))


def chance(gallery: int, relevant: NDArray[np.int64]) -> RetrievalScores:
    """What guessing scores in expectation: each query's relevant [Q] items lie at random among `gallery`
    items.
    """
    if not len(relevant):
        return RetrievalScores(0.0, 0.0, 0.0, 0.0, 0.0, 0)
    counts, weight = np.unique(relevant, return_counts=True)
    share = weight / weight.sum()

    def hit(k: int) -> float:
        return float(share @ _drawn(np.full(len(counts), k), np.full(len(counts), gallery), counts))

    low, high = 1, gallery
    while low < high:  # the smallest rank that at least half of the guesses reach
        middle = (low + high) // 2
        low, high = (low, middle) if hit(middle) >= 0.5 else (middle + 1, high)
    # Half of a single query's places lie on either side of (G + 1) / 2, which for even G is no whole number.
    median = (gallery + 1) / 2 if counts.max() == 1 else float(low)
    slope = (counts - 1) / max(gallery - 1, 1)
    precision = ((1 - slope) * _harmonic(gallery)[gallery] + slope * gallery) / gallery
    return RetrievalScores(hit(1), hit(5), hit(10), median, float(share @ precision), len(relevant))


def accuracy(score: Embedding, truth: NDArray[np.bool_]) -> Float:
    """Probability [Q] of naming a true class: score [Q, C], truth bool [Q, C]; ties for the top are drawn at
    random.
    """
    top = score == score.max(axis=1, keepdims=True)
    return (top & truth).sum(axis=1) / top.sum(axis=1)


def _harmonic(n: int) -> Float:
    """H_0 … H_n."""
    return np.concatenate(([0.0], np.cumsum(1.0 / np.arange(1, n + 1))))


def _drawn(draws: NDArray[np.int64], total: NDArray[np.int64], good: NDArray[np.int64]) -> Float:
    """Probability that `draws` of `total` items, without replacement, hold at least one of the `good`; all
    arrays alike.

    1 − Π_{i<good} (total − draws − i) / (total − i), a product of few factors since `good` is small, or of
    few since `draws` is.
    """
    draws = np.minimum(draws, total)
    factors = np.minimum(draws, good)
    other = np.maximum(draws, good)
    miss = np.ones(len(total), dtype=np.float64)
    for i in range(int(factors.max(initial=0))):
        live = i < factors
        miss[live] *= np.maximum(total - other - i, 0)[live] / (total - i)[live]
    return 1.0 - miss
