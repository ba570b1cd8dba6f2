"""Who and what a table holds, and in which proportions: balance, intersections, and the words that go with a group.

Intervals are 95 %, by resampling whole groups of records (metrics.resampled): the forms of one thing come and go together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chiasm.errors import ConfigError
from chiasm.evaluate.data.diversity import entropy
from chiasm.evaluate.data.rows import MEDIA, Rows, Sample
from chiasm.evaluate.data.words import MOST_VALUES, Attribute, spoken_with
from chiasm.evaluate.metrics.bootstrap import resampled

MOST_ATTRIBUTES = 8
ALWAYS = ("language", "source", "licence")
"""What every table can be asked for, whether any of its records says it or not."""
NONE = "none"
"""The one group of a table whose records say nothing of what was asked for."""
RESAMPLES = 400
EXPECTED = 5.0
"""Records expected of an intersection from which on its absence is told: by chance alone it would be empty less than once in 148 times."""


def attributes(rows: Rows, sample: Sample, wanted: Sequence[str] = ()) -> list[Attribute]:
    """Labels, language, source, licence and maker, as far as the table has at least two values of them; or those that are `wanted`.

    Makers are known of the sample's rows alone. A wanted one that no record says anything of is one group, NONE; `check_attributes` has refused
    those that no record could.
    """
    everywhere = np.arange(len(rows.records))
    found: dict[str, Attribute] = {}
    for name in sorted({label.name for record in rows.records for label in record.labels}):
        found[name] = Attribute(
            name, everywhere, [tuple(sorted({b.value for b in r.labels if b.name == name})) for r in rows.records]
        )
    languages = [tuple(sorted({text.language for text in r.texts if text.language})) for r in rows.records]
    found["language"] = Attribute("language", everywhere, languages)
    found["source"] = Attribute("source", everywhere, [(r.source,) if r.source else () for r in rows.records])
    found["licence"] = Attribute("licence", everywhere, [(r.licence,) if r.licence else () for r in rows.records])
    for medium in MEDIA:
        makers = [tuple(sorted({m.by for m in getattr(r, medium) if m.by})) for r in sample.records]
        found[f"{medium} by"] = Attribute(f"{medium} by", sample.rows, makers)
    if wanted:
        chosen = [found[name] for name in dict.fromkeys(wanted)]
        return [one if one.counts() else Attribute(one.name, one.rows, [(NONE,)] * len(one.rows)) for one in chosen]
    telling = [one for one in found.values() if 2 <= len(one.counts()) <= MOST_VALUES]
    return telling[:MOST_ATTRIBUTES]


def check_attributes(rows: Rows, wanted: Sequence[str]) -> None:
    """Raises ConfigError, naming those that there are, for a wanted attribute that no record can have: before any medium is decoded."""
    there = {label.name for record in rows.records for label in record.labels} | set(ALWAYS)
    there |= {f"{m} by" for m in MEDIA if rows.count[m].any()}
    for name in wanted:
        if name not in there:
            raise ConfigError(f"--by {name}: no record has it; there are {', '.join(sorted(there))}")


def balance(attribute: Attribute, groups: NDArray[np.int64], seed: int) -> dict[str, Any]:
    """How the values share the records that have any: by value {n, share, low, high}, largest first; effective (exp of the entropy: how many
    equal values would be as even), evenness (entropy over its greatest), ratio (largest over smallest), without (records that have none)."""
    counts = attribute.counts()
    order = sorted(counts, key=lambda value: (-counts[value], value))
    shown = order[:MOST_VALUES]
    place = {value: index for index, value in enumerate(shown)}
    table = np.zeros((len(attribute.rows), len(shown) + 1))
    for row, values in enumerate(attribute.values):
        table[row, -1] = bool(values)
        for value in values:
            if value in place:
                table[row, place[value]] = 1
    sums = resampled(table, groups[attribute.rows], resamples=RESAMPLES, seed=seed)
    share = sums[:, :-1] / np.maximum(sums[:, -1:], 1)
    low, high = np.percentile(share, [2.5, 97.5], axis=0) if shown else (np.zeros(0), np.zeros(0))
    having = int(table[:, -1].sum())
    held = entropy(list(counts.values()))
    return {
        "values": {
            value: {
                "n": counts[value],
                "share": counts[value] / max(having, 1),
                "low": float(low[i]),
                "high": float(high[i]),
            }
            for i, value in enumerate(shown)
        },
        "distinct": len(counts),
        "of": having,
        "without": len(attribute.rows) - having,
        "effective": float(np.exp(held)),
        "evenness": held / np.log(len(counts)) if len(counts) > 1 else 1.0,
        "ratio": max(counts.values(), default=0) / max(1, min(counts.values(), default=1)),
    }


def crossed(a: Attribute, b: Attribute, groups: NDArray[np.int64], seed: int) -> dict[str, Any] | None:
    """Intersections of two attributes, found against what independence would give.

    association: Cramér's V, corrected for its bias (Bergsma 2013), 0 … 1, with low and high · cells: [value a, value b, found, expected] of the
    values shown · missing: those expected at least EXPECTED times and not found · skewed: up to 10 that deviate most, by the adjusted
    residual (Haberman 1973), largest first, [a, b, found, expected, residual]. None where fewer than two values of each meet.
    """
    rows, at_a, at_b = np.intersect1d(a.rows, b.rows, assume_unique=True, return_indices=True)
    left = [value for value, _ in sorted(a.counts().items(), key=lambda one: (-one[1], one[0]))[:MOST_VALUES]]
    right = [value for value, _ in sorted(b.counts().items(), key=lambda one: (-one[1], one[0]))[:MOST_VALUES]]
    x = _membership(a, at_a, left)
    y = _membership(b, at_b, right)
    both = x.any(1) & y.any(1)
    x, y, rows = x[both], y[both], rows[both]
    if len(rows) < 2 or min((x.sum(0) > 0).sum(), (y.sum(0) > 0).sum()) < 2:
        return None
    found = x.T @ y
    total = found.sum()
    across, down = found.sum(1, keepdims=True) / total, found.sum(0, keepdims=True) / total
    expected = total * across * down
    residual = (found - expected) / np.sqrt(np.maximum(expected * (1 - across) * (1 - down), 1e-12))
    cells: list[tuple[str, str, int, float]] = [
        (left[i], right[j], int(found[i, j]), float(expected[i, j]))
        for i in range(len(left))
        for j in range(len(right))
    ]
    flat = np.argsort(-np.abs(residual), axis=None, kind="stable")[:10]
    skewed = [[*cells[k], float(residual.flat[k])] for k in flat.tolist() if abs(residual.flat[k]) > 3]
    low, high = _association_interval(x, y, groups[rows], seed)
    return {
        "association": _association(found),
        "low": low,
        "high": high,
        "n": len(rows),
        "rows": left,
        "columns": right,
        "cells": cells,
        "missing": [cell for cell in cells if cell[2] == 0 and cell[3] >= EXPECTED],
        "skewed": skewed,
    }


def bias(rows: Rows, sample: Sample, wanted: Sequence[str], seed: int) -> dict[str, Any]:
    """Facts of the page's section: balance by attribute, crossed by pair "a × b", words by attribute, language of the words, missing in all."""
    chosen = attributes(rows, sample, wanted)
    groups = rows.groups
    spoken = Counter(text.language for record in rows.records for text in record.texts)
    language = max(spoken, key=lambda name: (spoken[name], name == "en", name or ""), default=None)
    # Where all records have the same values (every language, say), there is nothing to cross.
    telling = [one for one in chosen if len({values for values in one.values if values}) > 1]
    pairs: Mapping[str, Any] = {
        f"{a.name} × {b.name}": crossed(a, b, groups, seed) for a, b in combinations(telling, 2)
    }
    crossings = {name: one for name, one in pairs.items() if one is not None}
    return {
        "balance": {one.name: balance(one, groups, seed) for one in chosen},
        "crossed": crossings,
        "words": {
            one.name: told for one in chosen if one.name != "language" and (told := spoken_with(one, rows, language))
        },
        "language": language,
        "missing": sum(len(one["missing"]) for one in crossings.values()),
    }


def _membership(attribute: Attribute, at: NDArray[np.int64], shown: Sequence[str]) -> NDArray[np.float64]:
    place = {value: index for index, value in enumerate(shown)}
    table = np.zeros((len(at), len(shown)))
    for row, index in enumerate(at.tolist()):
        for value in attribute.values[index]:
            if value in place:
                table[row, place[value]] = 1
    return table


def _association(found: NDArray[np.float64]) -> float:
    found = found[found.sum(1) > 0][:, found.sum(0) > 0]
    n, (r, c) = found.sum(), found.shape
    if min(r, c) < 2 or n < 2:
        return 0.0
    expected = found.sum(1, keepdims=True) * found.sum(0, keepdims=True) / n
    square = ((found - expected) ** 2 / expected).sum() / n
    square = max(0.0, square - (r - 1) * (c - 1) / (n - 1))
    r, c = r - (r - 1) ** 2 / (n - 1), c - (c - 1) ** 2 / (n - 1)
    return float(np.sqrt(square / max(min(r, c) - 1, 1e-12)))


def _association_interval(
    x: NDArray[np.float64], y: NDArray[np.float64], group: NDArray[np.int64], seed: int
) -> tuple[float, float]:
    row, left = np.nonzero(x)
    pairs = [
        (np.full(len(found), i), cell * y.shape[1] + found)
        for i, cell in zip(row, left, strict=True)
        for found in [np.flatnonzero(y[i])]
    ]
    rows = np.concatenate([one for one, _ in pairs])
    cell = np.concatenate([one for _, one in pairs])
    _, member = np.unique(group, return_inverse=True)
    count, rng = int(member.max()) + 1, np.random.default_rng(seed)
    values: list[float] = []
    for _ in range(RESAMPLES // 2):
        weight = np.bincount(rng.integers(0, count, count), minlength=count)[member]
        found = np.bincount(cell, weights=weight[rows].astype(np.float64), minlength=x.shape[1] * y.shape[1]).astype(
            np.float64
        )
        values.append(_association(found.reshape(x.shape[1], y.shape[1])))
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)
