"""Which gallery items answer which query.

Legend: Q queries · G gallery items · K keys an item.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Relevance(Protocol):
    """Which gallery items answer which query, asked for a block of queries at a time so that Q × G is never
    held.
    """

    def block(self, start: int, stop: int) -> NDArray[np.bool_]:
        """bool [stop − start, G], True where the gallery item is relevant."""
        ...


@dataclass(frozen=True, slots=True)
class SharedKey:
    """Relevant when any of K integer keys agrees (same record, equal text, equal picture …).

    query: int64 [Q, K]; gallery: int64 [G, K]. A negative key agrees with nothing.
    """

    query: NDArray[np.int64]
    gallery: NDArray[np.int64]

    def block(self, start: int, stop: int) -> NDArray[np.bool_]:
        found = np.zeros((stop - start, len(self.gallery)), dtype=bool)
        for key in range(self.query.shape[1]):
            mine = self.query[start:stop, key, None]
            found |= (mine == self.gallery[None, :, key]) & (mine >= 0)
        return found


@dataclass(frozen=True, slots=True)
class Listed:
    """Relevant as listed: indices[q] are the gallery positions that answer query q."""

    indices: Sequence[Sequence[int] | NDArray[np.int64]]
    size: int

    def block(self, start: int, stop: int) -> NDArray[np.bool_]:
        found = np.zeros((stop - start, self.size), dtype=bool)
        for row, listed in enumerate(self.indices[start:stop]):
            found[row, np.asarray(listed, dtype=np.int64)] = True
        return found
