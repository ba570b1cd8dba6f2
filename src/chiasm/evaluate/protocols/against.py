"""Two models on the same questions: the paired bootstrap (Efron & Tibshirani 1993, 8.3; Koehn 2004 for whole systems).

Both are asked the same queries against the same galleries, and what is resampled is the difference query by query, in whole groups: what
makes a query hard for both falls out, and the interval is far narrower than that of two intervals laid side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chiasm.dataset.table import Table
from chiasm.errors import ConfigError
from chiasm.evaluate.metrics.bootstrap import bounds, means, rounded
from chiasm.evaluate.retrieval.asked import Asked, asked_all, labels_of
from chiasm.evaluate.retrieval.items import Collected, Progress, collect
from chiasm.evaluate.retrieval.pairs import Scorer
from chiasm.evaluate.retrieval.splits import choose_splits, data_config, groups_of
from chiasm.types import MODALITIES, Embedder

Float = NDArray[np.float64]


def against(
    model: Embedder,
    other: Embedder,
    table: Table,
    *,
    splits: Sequence[str] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """{split: {"text->image": {r1: {value, other, difference, interval, p, better}, …, n}, "image: kind": {accuracy: …}}}.

    splits: as in protocols.evaluate. difference: this model's less the other's. p: two-sided, the share of resamples on the other side of 0,
    doubled. better: "this" or "other" where the whole interval lies on one side of 0, else None.
    Raises ConfigError where the models share no two modalities.
    """
    shared = [name for name in MODALITIES if name in model.modalities and name in other.modalities]
    if len(shared) < 2:
        raise ConfigError(f"the two models share {', '.join(shared) or 'no modality'}; two are needed to compare them")
    chosen = choose_splits(table, splits, data_config(model).train_split)
    rows = np.flatnonzero(np.any(list(chosen.values()), axis=0))
    groups = groups_of(table)
    sides = _shared(
        [collect(one, table, rows=rows, raw=False, progress=progress) for one in (model, other)], shared, len(table)
    )
    scorers = [Scorer(side, groups, None, seed) for side in sides]
    pairs = [(a, b) for a in shared for b in shared if a != b]
    labels, known = labels_of(table), ({}, {})
    found: dict[str, Any] = {}
    for name, used in chosen.items():
        mine, theirs = (
            asked_all(m, s, pairs, used, labels, k) for m, s, k in zip((model, other), scorers, known, strict=True)
        )
        found[name] = {key: compare(mine[key], theirs[key], groups, seed) for key in mine if key in theirs}
    return found


def compare(mine: Asked, theirs: Asked, groups: NDArray[np.int64], seed: int = 0) -> dict[str, Any]:
    """One kind of query: each metric's means, their difference and its interval. Both asked the same records in the same order."""
    assert np.array_equal(mine.rows, theirs.rows)
    differences = {metric: mine.values[metric] - theirs.values[metric] for metric in mine.values}
    drawn = means(differences, groups[mine.rows], seed)
    alone = len(np.unique(groups[mine.rows])) < 2  # of one group there is nothing to resample, and so nothing is told
    found: dict[str, Any] = {"n": len(mine.rows)}
    for metric, value in differences.items():
        low, high = (float(value.min()), float(value.max())) if alone else bounds(drawn[metric])
        found[metric] = {
            "value": round(float(mine.values[metric].mean()), 6),
            "other": round(float(theirs.values[metric].mean()), 6),
            "difference": round(float(value.mean()), 6),
            "interval": rounded((low, high)),
            "p": 1.0 if alone else round(_p(drawn[metric]), 6),
            "better": None if alone else "this" if low > 0 else "other" if high < 0 else None,
        }
    return found


def _p(drawn: Float) -> float:
    """Two-sided, from the resampled differences: never 0, since a finite number was drawn."""
    below, above = (drawn <= 0).sum(), (drawn >= 0).sum()
    return float(min(1.0, 2 * (min(below, above) + 1) / (len(drawn) + 1)))


def _shared(found: Sequence[Collected], modalities: Sequence[str], rows: int) -> list[Collected]:
    """Only what both models could read: the same questions, and the same galleries."""
    keep: dict[str, NDArray[np.bool_]] = {}
    for name in modalities:
        both = np.ones(rows, bool)
        for one in found:
            seen = np.zeros(rows, bool)
            if name in one.sides:
                seen[one.sides[name].rows] = True
            both &= seen
        keep[name] = both
    return [
        replace(
            one, sides={name: one.sides[name].at(keep[name]) for name in modalities if name in one.sides}, facets={}
        )
        for one in found
    ]
