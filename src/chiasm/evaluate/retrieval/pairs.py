"""The score of one ordered pair of modalities: the model's, the baseline's and chance's, with intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from chiasm.evaluate.metrics.bootstrap import intervals
from chiasm.evaluate.metrics.ranks import CUTS, SharedKey, chance, places, retrieval, summarise
from chiasm.evaluate.retrieval.baseline import Linear
from chiasm.evaluate.retrieval.items import Collected, Side

KEPT = ("r1", "r5", "r10", "median_rank", "map")


class Scorer:
    """Scores any query rows against any gallery rows of the collected items.

    groups: int64 [rows of the table], what the bootstrap resamples by.
    """

    def __init__(self, items: Collected, groups: NDArray[np.int64], linear: Linear | None, seed: int) -> None:
        self.items = items
        self.groups = groups
        self._linear = linear
        self._seed = seed

    def has(self, modality: str) -> NDArray[np.bool_]:
        """bool [rows of the table], True where the record has a readable item of the modality."""
        found = np.zeros(len(self.groups), dtype=bool)
        if modality in self.items.sides:
            found[self.items.sides[modality].rows] = True
        return found

    def score(self, query: str, target: str, rows: NDArray[np.bool_], gallery: NDArray[np.bool_]) -> dict[str, Any]:
        """The main items of `rows` against the main items of `gallery`, both bool [rows of the table]."""
        side = self.items.sides[query].at(rows)
        entry = self.score_side(side, query, target, gallery)
        embedded = None if self._linear is None else self._linear.embedding(query, target)
        if embedded is None:
            return entry | {"baseline": None}
        asked = embedded[0][rows[self.items.sides[query].rows]]
        among = embedded[1][gallery[self.items.sides[target].rows]]
        found = retrieval(asked, among, self.relevance(side, query, target, gallery)).to_json()
        return entry | {"baseline": {name: found[name] for name in KEPT}}

    def score_side(self, side: Side, query: str, target: str, gallery: NDArray[np.bool_]) -> dict[str, Any]:
        """Any query items against the main items of `gallery`, without the baseline (it is fitted on main
        items).
        """
        among = self.items.sides[target].at(gallery)
        found = places(side.embedding, among.embedding, self.relevance(side, query, target, gallery))
        hits = {f"r{k}": found.hit(k) for k in CUTS}
        bounds = intervals(hits, self.groups[side.rows], seed=self._seed)
        guess = chance(len(among.rows), found.relevant).to_json()
        return {
            **summarise(found).to_json(),
            "gallery": len(among.rows),
            "interval": {name: [round(low, 6), round(high, 6)] for name, (low, high) in bounds.items()},
            "chance": {name: guess[name] for name in KEPT},
        }

    def gaps(self, pairs: list[tuple[str, str]], rows: NDArray[np.bool_]) -> dict[str, Any]:
        """How far apart the modalities lie, for each unordered pair: the distance between their mean
        embeddings (0 to 2;
        the modality gap of Liang et al. 2022, arXiv 2203.02053), and the mean cosine of matched and of all
        pairs.
        """
        found: dict[str, Any] = {}
        for a, b in pairs:
            both = rows & self.has(a) & self.has(b)
            if f"{b}-{a}" in found or both.sum() < 2:
                continue
            x, y = self.items.sides[a].at(both).embedding, self.items.sides[b].at(both).embedding
            mean_x, mean_y = x.mean(axis=0), y.mean(axis=0)
            found[f"{a}-{b}"] = {
                "gap": round(float(np.linalg.norm(mean_x - mean_y)), 6),
                "matched_cosine": round(float((x * y).sum(axis=1).mean()), 6),
                "mean_cosine": round(float(mean_x @ mean_y), 6),
                "n": int(both.sum()),
            }
        return found

    def relevance(self, side: Side, query: str, target: str, gallery: NDArray[np.bool_]) -> SharedKey:
        """The own record, records whose query item says the same, and gallery items equal to the own
        record's.
        """
        among = self.items.sides[target].at(gallery)
        of_target = self._content(self.items.sides[target])
        # A record that the query stands for is known by that item, which need not be the record's first.
        of_query = self._content(self.items.sides[query])
        of_query[side.rows] = side.content
        return SharedKey(
            query=np.stack((side.rows, side.content, of_target[side.rows]), axis=1),
            gallery=np.stack((among.rows, of_query[among.rows], among.content), axis=1),
        )

    def _content(self, side: Side) -> NDArray[np.int64]:
        found = np.full(len(self.groups), -1, dtype=np.int64)
        found[side.rows] = side.content
        return found
