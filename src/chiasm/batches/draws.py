"""The random numbers of a step: a pure function of (seed, step, purpose), drawn for the whole batch, of which a process takes its rows."""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray


class Draws:
    """Uniform numbers of one step, one row a record of this process's slice. Equal purposes give equal numbers."""

    def __init__(self, seed: int, step: int, batch: int, mine: slice) -> None:
        self._seed, self._step, self._batch, self._mine = seed, step, batch, mine

    def uniform(self, purpose: str, columns: int) -> NDArray[np.float64]:
        """[B of this slice, columns] in [0, 1)."""
        return self._generator(purpose).random((self._batch, columns))[self._mine]

    def once(self, purpose: str) -> float:
        """One number for the whole batch, the same in every process."""
        return float(self._generator(purpose).random())

    def _generator(self, purpose: str) -> np.random.Generator:
        return np.random.default_rng((self._seed, self._step, zlib.crc32(purpose.encode())))
