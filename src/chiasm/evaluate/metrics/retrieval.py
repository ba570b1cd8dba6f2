"""Retrieval where a picture has several captions, as on COCO and Flickr30k, and graded relevance.

The ranks themselves, with ties settled fairly: ranks.py. Legend: n pictures · K captions of each · Q queries · G gallery items.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chiasm.errors import DataError
from chiasm.evaluate.metrics.ranks import Embedding, Places, places, summarise
from chiasm.evaluate.retrieval.relevance import SharedKey

Float = NDArray[np.float64]

FOLD = 1000
"""Pictures of a fold of COCO's 5k test set (Karpathy & Fei-Fei, arXiv 1412.2306)."""


def place_scores(found: Places) -> dict[str, float]:
    """r1, r5, r10, median_rank, mean_rank, map of ranked queries, and n."""
    whole = summarise(found)
    return {**whole.to_json(), "mean_rank": float(found.rank().mean()) if whole.n else 0.0}


def caption_retrieval(
    images: Embedding, captions: Embedding, owner: NDArray[np.int64], fold: int | None = None
) -> dict[str, dict[str, float]]:
    """{"image->text": figures, "text->image": figures} of n pictures [n, E] and their captions [m, E]; owner: int64 [m], the picture that
    each caption tells of.

    From picture to text, any of its captions is right; the reverse asks each caption for its picture. fold: pictures a fold, in order,
    each searched by itself and the figures averaged over the whole folds (COCO 1k is the mean of five folds of the 5k set); None: all at
    once (5k; Flickr30k's 1k test set). Raises DataError where a caption's picture is not there or fewer pictures than one fold.
    """
    n = len(images)
    if len(owner) != len(captions) or (len(owner) and not (owner.min() >= 0 and owner.max() < n)):
        raise DataError(f"{len(captions)} captions of {n} pictures: give each caption the place of its picture")
    size = n if fold is None else fold
    if not size or n < size:
        raise DataError(f"{n} pictures: fewer than one fold of {size}")
    folds: list[dict[str, dict[str, float]]] = []
    for start in range(0, n - size + 1, size):
        mine = (owner >= start) & (owner < start + size)
        own = owner[mine][:, None]
        picture = np.arange(start, start + size)[:, None]
        shown, told = images[start : start + size], captions[mine]
        folds.append(
            {
                "image->text": place_scores(places(shown, told, SharedKey(picture, own))),
                "text->image": place_scores(places(told, shown, SharedKey(own, picture))),
            }
        )
    directions = folds[0]
    return {
        one: {name: float(np.mean([fold[one][name] for fold in folds])) for name in directions[one]}
        for one in directions
    }


def graded_gain(scores: NDArray[np.floating[Any]], gains: Float, k: int) -> Float:
    """nDCG@k of each query [Q], ties shared evenly (McSherry & Najork 2008; the gain as it is, discounted by log₂(place + 1)).

    scores, gains: [Q, G]; 0 where a query has no gain to find. Raises DataError where the shapes differ or a gain is negative."""
    if scores.shape != gains.shape or (gains < 0).any():
        raise DataError(f"each score needs a gain of 0 or more: got {scores.shape} and {gains.shape}")
    discount = np.zeros(scores.shape[1])
    most = min(k, scores.shape[1])
    discount[:most] = 1 / np.log2(np.arange(2, most + 2))
    found = np.zeros(len(scores))
    for row, (score, gain) in enumerate(zip(scores, gains, strict=True)):
        best = float(np.sort(gain)[::-1] @ discount)
        if best:
            _, level, size = np.unique(-score, return_inverse=True, return_counts=True)
            worth = np.bincount(level, weights=gain) / size
            ends = np.cumsum(size)
            shared = np.diff(np.concatenate([[0.0], np.cumsum(discount)[ends - 1]]))
            found[row] = float(worth @ shared) / best
    return found


def average_precisions(ranked: Sequence[Sequence[str]], wanted: Sequence[Sequence[str]]) -> Float:
    """Of each query [Q] the mean, over what is wanted, of the precision where it stands in the ranking; 0 for what the ranking lacks."""
    found = np.zeros(len(ranked))
    for row, (first, several) in enumerate(zip(ranked, wanted, strict=True)):
        those = set(several)
        hits = [place for place, item in enumerate(first, 1) if item in those]
        found[row] = sum(count / place for count, place in enumerate(hits, 1)) / max(len(those), 1)
    return found
