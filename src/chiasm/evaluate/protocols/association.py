"""Bias of a representation: does one group of things lie nearer to one set of words than another group does?

The word-embedding association test (Caliskan, Bryson & Narayanan 2017, doi 10.1126/science.aal4230), which is the implicit association test's
statistic on cosines; of sentences it is SEAT (May et al. 2019, arXiv 1903.10561), of pictures iEAT (Steed & Caliskan 2021, arXiv 2010.15052).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from math import comb
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chiasm.errors import DataError
from chiasm.evaluate.metrics.bootstrap import holm
from chiasm.types import Embedder, Text

EXACT = 20_000
"""Divisions of the targets up to which all are tried."""
DRAWS = 10_000

PLEASANT = (
    "caress", "freedom", "health", "love", "peace", "cheer", "friend", "heaven", "loyal", "pleasure", "diamond", "gentle", "honest", "lucky",
    "rainbow", "diploma", "gift", "honor", "miracle", "sunrise", "family", "happy", "laughter", "paradise", "vacation",
)  # fmt: skip
UNPLEASANT = (
    "abuse", "crash", "filth", "murder", "sickness", "accident", "death", "grief", "poison", "stink", "assault", "disaster", "hatred",
    "pollute", "tragedy", "divorce", "jail", "poverty", "ugly", "cancer", "kill", "rotten", "vomit", "agony", "prison",
)  # fmt: skip
"""The words of the first tests of Caliskan et al. 2017 (after Greenwald, McGhee & Schwartz 1998)."""

Embedding = NDArray[np.float32]


def association(x: Embedding, y: Embedding, a: Embedding, b: Embedding, seed: int = 0) -> dict[str, Any]:
    """{effect, p, n, exact}: how much nearer targets x than y lie to attributes a than b. All are unit-length [n, E].

    effect: the difference of the means of s(w) = mean cosine with a − mean cosine with b, over the standard deviation of s (Cohen's d, −2 … 2).
    p: one-sided, in the direction of the effect, over the divisions of the targets into two sets of these sizes: all of them where they are
    EXACT at most, else DRAWS drawn by `seed`. Raises DataError where a set has fewer than two members.
    """
    if min(map(len, (x, y, a, b))) < 2:
        raise DataError("an association test needs two or more of each kind of target and attribute")
    targets = np.concatenate([x, y]).astype(np.float64)
    s = (targets @ a.T.astype(np.float64)).mean(1) - (targets @ b.T.astype(np.float64)).mean(1)
    deviation = float(s.std(ddof=1))
    observed = float(s[: len(x)].mean() - s[len(x) :].mean())
    sign = 1.0 if observed >= 0 else -1.0
    exact = comb(len(s), len(x)) <= EXACT
    if exact:
        sums = np.array([s[list(chosen)].sum() for chosen in combinations(range(len(s)), len(x))])
    else:
        rng = np.random.default_rng(seed)
        sums = np.array([s[rng.permutation(len(s))[: len(x)]].sum() for _ in range(DRAWS)])
    drawn = sums / len(x) - (s.sum() - sums) / len(y)
    above = float((sign * drawn >= sign * observed - 1e-12).sum())
    return {
        "effect": round(observed / deviation, 6) if deviation > 0 else 0.0,
        "p": round(above / len(drawn) if exact else (above + 1) / (len(drawn) + 1), 6),
        "n": [len(x), len(y), len(a), len(b)],
        "exact": exact,
    }


def associations(
    model: Embedder, groups: Mapping[str, Embedding], words: Mapping[str, Sequence[str]] | None = None, seed: int = 0
) -> dict[str, Any]:
    """{"light / dark": {effect, p, holm, n, exact}}: every two groups of items, unit-length [n, E] each, against two sets of words.

    words: {name: words} of exactly two; None: PLEASANT and UNPLEASANT. p-values are adjusted over the pairs (Holm 1979).
    """
    words = {"pleasant": PLEASANT, "unpleasant": UNPLEASANT} if words is None else words
    a, b = (model.embed_items("text", [Text(word) for word in some]) for some in words.values())
    found = {
        f"{one} / {two}": association(groups[one], groups[two], a, b, seed)
        for one, two in combinations(groups, 2)
        if min(len(groups[one]), len(groups[two])) >= 2
    }
    for entry, value in zip(found.values(), holm([entry["p"] for entry in found.values()]), strict=True):
        entry["holm"] = round(value, 6)
    return found
