"""The words that go with a group: what texts say of some records and not of others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chiasm.evaluate.data.diversity import words
from chiasm.evaluate.data.rows import Rows

MOST_VALUES = 40
"""Values of an attribute that are told apart; it is left out of the automatic choice where it has more."""
PRIOR = 500.0
"""Words' worth of the informative prior of the log-odds."""
FEWEST = 5
"""Records that a word must occur in."""


@dataclass(frozen=True)
class Attribute:
    """One way to divide records. rows: int64 [n], positions in the table · values: each one's values, row for row (several, or none)."""

    name: str
    rows: NDArray[np.int64]
    values: Sequence[tuple[str, ...]]

    def counts(self) -> Counter[str]:
        return Counter(value for found in self.values for value in found)


def spoken_with(
    attribute: Attribute, rows: Rows, language: str | None, most: int = 8
) -> dict[str, list[dict[str, Any]]]:
    """The words that go with each value of `attribute` against all its other values: log-odds with an informative Dirichlet prior (Monroe,
    Colaresi and Quinn, "Fightin' Words", 2008, equations 16 and 22), over records that hold a word, in one language.

    By value, up to `most` words whose deviation stays significant when all words are tested (Benjamini and Hochberg 1995, at 5 %), strongest
    first: {word, n, log_odds, low, high, pmi (bits, log2 of p(word, value) over p(word)·p(value))}.
    """
    common: Counter[str] = Counter()
    by_value: dict[str, Counter[str]] = {}
    held: Counter[str] = Counter()
    heard = 0
    for row, values in zip(attribute.rows.tolist(), attribute.values, strict=True):
        said = {w for text in rows.records[row].texts if text.language == language for w in words(text.text)}
        if not said or not values:
            continue
        heard += 1
        common.update(said)
        for value in values:
            by_value.setdefault(value, Counter()).update(said)
            held[value] += 1
    vocabulary = sorted(word for word, count in common.items() if count >= FEWEST)
    if not vocabulary or len(by_value) < 2:
        return {}
    whole = np.array([common[word] for word in vocabulary], np.float64)
    prior = PRIOR * whole / whole.sum()
    found: dict[str, list[dict[str, Any]]] = {}
    for value in sorted(by_value, key=lambda one: (-held[one], one))[:MOST_VALUES]:
        own = np.array([by_value[value][word] for word in vocabulary], np.float64)
        delta, deviation = log_odds(own, np.maximum(whole - own, 0), prior)
        z = delta / deviation
        keep = _significant(z)
        order = [i for i in np.argsort(-np.abs(z), kind="stable")[: 4 * most].tolist() if keep[i]][:most]
        found[value] = [
            {
                "word": vocabulary[i],
                "n": int(own[i]),
                "log_odds": float(delta[i]),
                "low": float(delta[i] - 1.96 * deviation[i]),
                "high": float(delta[i] + 1.96 * deviation[i]),
                "pmi": float(np.log2(own[i] * heard / (whole[i] * held[value]))) if own[i] else None,
            }
            for i in order
        ]
    return {value: told for value, told in found.items() if told}


def log_odds(
    own: NDArray[np.float64], other: NDArray[np.float64], prior: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Counts of each word in two corpora [V] and the prior's → difference of the log-odds [V] and its standard deviation (as in `spoken_with`)."""
    n, m, p = own.sum(), other.sum(), prior.sum()
    delta = np.log((own + prior) / (n + p - own - prior)) - np.log((other + prior) / (m + p - other - prior))
    return delta, np.sqrt(1 / (own + prior) + 1 / (other + prior))


def _significant(z: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which of the tests z [V] hold at a false discovery rate of 5 %."""
    from scipy.stats import norm

    p = 2 * norm.sf(np.abs(z))
    order = np.argsort(p, kind="stable")
    below = np.flatnonzero(p[order] <= 0.05 * np.arange(1, len(p) + 1) / len(p))
    keep = np.zeros(len(p), np.bool_)
    if len(below):
        keep[order[: below[-1] + 1]] = True
    return keep
