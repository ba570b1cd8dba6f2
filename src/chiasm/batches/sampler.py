"""Which rows a step sees: a pure function of seed and step, so a run resumes exactly and does not depend on workers or processes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def group_weights(groups: Sequence[str | None], power: float) -> NDArray[np.float64]:
    """Weights [n] that sum to n: a group of size s gets a share of the draws proportional to s^power.

    power 1: every row alike; 0: every group alike, however many forms of it there are. A row without a group is its own.
    """
    names = [f"\0{index}" if group is None else group for index, group in enumerate(groups)]
    _, index, size = np.unique(np.array(names, dtype=object), return_inverse=True, return_counts=True)
    weight = size[index].astype(np.float64) ** (power - 1)
    return weight * (len(weight) / weight.sum())


class Sampler:
    """Rows in epochs. In an epoch of n draws row i occurs ⌊wᵢ⌋ or ⌈wᵢ⌉ times (systematic sampling), in random order.

    With equal weights that is every row exactly once an epoch.
    """

    def __init__(self, weights: NDArray[np.float64], seed: int) -> None:
        if not len(weights):
            raise ValueError("nothing to sample from")
        self._cumulative = np.cumsum(weights * (len(weights) / weights.sum()))
        self._cumulative[-1] = len(weights)  # rounding must not lose the last draw
        self._seed = seed
        self._epoch: tuple[int, NDArray[np.int64]] | None = None

    @property
    def epoch_length(self) -> int:
        return len(self._cumulative)

    def rows(self, step: int, count: int) -> NDArray[np.int64]:
        """The `count` positions of step `step` (0, 1, …): int64 [count]."""
        n = self.epoch_length
        start, stop = step * count, (step + 1) * count
        parts = [self._order(e)[max(start - e * n, 0) : stop - e * n] for e in range(start // n, (stop - 1) // n + 1)]
        return np.concatenate(parts)

    def _order(self, epoch: int) -> NDArray[np.int64]:
        kept = self._epoch
        if kept is not None and kept[0] == epoch:
            return kept[1]
        random = np.random.default_rng((self._seed, epoch))
        edges = np.floor(self._cumulative + random.random()).astype(np.int64)
        counts = np.diff(edges, prepend=0)
        order = random.permutation(np.repeat(np.arange(self.epoch_length), counts))
        self._epoch = (epoch, order)  # one assignment: a reader in another thread sees the old or the new
        return order
