"""Retrieval where a picture (or a clip, or a sound) has several captions, as on COCO and Flickr30k.

The ranks themselves, with ties settled fairly: ranks.py. Legend: n pictures · m captions · E embedding width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chiasm.errors import DataError
from chiasm.evaluate.metrics.ranks import Embedding, Places, SharedKey, places, summarise

Ints = NDArray[np.int64]

FOLD = 1000
"""Pictures of a fold of COCO's 5k test set (Karpathy & Fei-Fei, arXiv 1412.2306)."""


@dataclass(frozen=True, slots=True)
class Fold:
    """One search. pictures: int64, the places of its pictures; captions: of its captions; to_text: where each picture found the first of its
    captions; from_text: where each caption found its picture."""

    pictures: Ints
    captions: Ints
    to_text: Places
    from_text: Places


def caption_folds(images: Embedding, captions: Embedding, owner: Ints, fold: int | None = None) -> list[Fold]:
    """Each picture [n, E] among the captions [m, E] of its fold, and each caption among the pictures; owner: int64 [m], the picture that
    each caption tells of.

    From picture to text, any of its captions is right. fold: pictures a fold, in order, each searched by itself, what is left over left
    out; None: all at once. Raises DataError where a caption's picture is not there or fewer pictures than one fold.
    """
    n = len(images)
    if len(owner) != len(captions) or (len(owner) and not (owner.min() >= 0 and owner.max() < n)):
        raise DataError(f"{len(captions)} captions of {n} pictures: give each caption the place of its picture")
    size = n if fold is None else fold
    if not size or n < size:
        raise DataError(f"{n} pictures: fewer than one fold of {size}")
    found: list[Fold] = []
    for start in range(0, n - size + 1, size):
        pictures, mine = np.arange(start, start + size), np.flatnonzero((owner >= start) & (owner < start + size))
        shown, told = images[pictures], captions[mine]
        own, picture = owner[mine][:, None], pictures[:, None]
        to_text = places(shown, told, SharedKey(picture, own))
        found.append(Fold(pictures, mine, to_text, places(told, shown, SharedKey(own, picture))))
    return found


def mean_scores(found: Sequence[Places]) -> dict[str, float]:
    """r1, r5, r10, median_rank, mean_rank, map, each the mean over the folds (COCO 1k is that of five folds of the 5k set; 5k, and
    Flickr30k's 1k test set, are one fold), and n, the queries of all. found: of one direction, at least one fold's."""
    scores = [{**summarise(one).to_json(), "mean_rank": float(one.rank().mean())} for one in found]
    return {name: float(np.mean([one[name] for one in scores])) for name in scores[0]} | {
        "n": float(sum(one["n"] for one in scores))
    }
