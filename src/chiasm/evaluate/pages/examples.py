"""Retrieval examples: queries drawn by seed, with what the model found for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chiasm.evaluate.metrics.ranks import places
from chiasm.evaluate.retrieval.pairs import Scorer

GOOD = 2
FAILED = 2
SHOWN = {"text": 5, "image": 6, "audio": 3, "video": 3}
"""Results shown a query, by the modality looked for."""


@dataclass(frozen=True, slots=True)
class Result:
    """row: position in the table; right: whether it answers the query."""

    row: int
    score: float
    right: bool


@dataclass(frozen=True, slots=True)
class Example:
    """One query and its best results, best first. rank: expected rank of the best right answer among
    `gallery` items.
    """

    query: str
    target: str
    row: int
    rank: float
    gallery: int
    results: tuple[Result, ...]

    @property
    def found(self) -> bool:
        return self.rank < 1.5


def draw_examples(
    scorer: Scorer, pairs: Sequence[tuple[str, str]], rows: NDArray[np.bool_], seed: int
) -> list[Example]:
    """For each pair, up to GOOD queries answered first and FAILED queries not, drawn by `seed` and never by
    hand.

    rows: bool [rows of the table], queries and gallery alike.
    """
    drawn: list[Example] = []
    for query, target in pairs:
        both = rows & scorer.has(query) & scorer.has(target)
        if both.sum() < 2:
            continue
        asked, among = scorer.items.sides[query].at(both), scorer.items.sides[target].at(both)
        relevance = scorer.relevance(asked, query, target, both)
        rank = places(asked.embedding, among.embedding, relevance).rank()
        order = np.random.default_rng(seed).permutation(len(rank))
        chosen = [*order[rank[order] < 1.5][:GOOD], *order[rank[order] >= 1.5][:FAILED]]
        for index in map(int, chosen):
            score = among.embedding @ asked.embedding[index]
            right = relevance.block(index, index + 1)[0]
            best = np.argsort(-score, kind="stable")[: SHOWN.get(target, 3)]
            results = tuple(Result(int(among.rows[i]), float(score[i]), bool(right[i])) for i in best)
            drawn.append(Example(query, target, int(asked.rows[index]), float(rank[index]), len(among.rows), results))
    return drawn
