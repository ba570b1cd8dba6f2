"""The keys of all rows, read from the shards whenever they are asked for: a build holds those in memory that a step changed, and no others."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import compress
from typing import overload

import numpy as np
from numpy.typing import NDArray

from chiasm.dataset.shards import CONTENTS, Shard
from chiasm.dataset.split import Key

_READ = 16
"""Shards whose keys are kept while single ones are asked for."""


class _Keys(Sequence[Key]):
    """A sequence of keys without slices of its own making."""

    @overload
    def __getitem__(self, index: int) -> Key: ...
    @overload
    def __getitem__(self, index: slice) -> list[Key]: ...
    def __getitem__(self, index: int | slice) -> Key | list[Key]:
        if isinstance(index, slice):
            return [self._at(place) for place in range(*index.indices(len(self)))]
        place = index + len(self) if index < 0 else index
        if not 0 <= place < len(self):
            raise IndexError(f"key {index} of {len(self)}")
        return self._at(place)

    def _at(self, place: int) -> Key:
        raise NotImplementedError


class ShardKeys(_Keys):
    """The keys of shards, of which the first row's numbers are `starts`, and at the end the number of all rows."""

    def __init__(self, shards: Sequence[Shard], starts: Sequence[int]) -> None:
        self._shards, self._starts = shards, starts
        self._read = lru_cache(_READ)(lambda number: list(_read(shards[number])))

    def __len__(self) -> int:
        return self._starts[-1]

    def _at(self, place: int) -> Key:
        number = bisect_right(self._starts, place) - 1
        return self._read(number)[place - self._starts[number]]

    def __iter__(self) -> Iterator[Key]:
        for shard in self._shards:
            yield from _read(shard)


def _read(shard: Shard) -> Iterator[Key]:
    rows = shard.rows(["id", "group", "split", CONTENTS])
    columns = (rows.column(name).to_pylist() for name in ("id", "group", "split", CONTENTS))
    for key, group, split, contents in zip(*columns, strict=True):
        yield Key(key, group, split, tuple(contents))


class ChangedKeys(_Keys):
    """`source`, and in place of some of its keys others."""

    def __init__(self, source: Sequence[Key]) -> None:
        self._source = source
        self._changed: dict[int, Key] = {}

    def __len__(self) -> int:
        return len(self._source)

    def _at(self, place: int) -> Key:
        return self._changed.get(place) or self._source[place]

    def __iter__(self) -> Iterator[Key]:
        if not self._changed:
            return iter(self._source)
        return (self._changed.get(place, key) for place, key in enumerate(self._source))

    def change(self, place: int, key: Key) -> None:
        self._changed[place] = key

    def change_all(self, of: Callable[[Key], Key]) -> None:
        """Every key becomes what `of` makes of it; those that it gives back as they are cost nothing."""
        self._changed.update({place: new for place, key in enumerate(self) if (new := of(key)) is not key})


class ChosenKeys(_Keys):
    """Those of `source` that are there by `alive`, bool [len(source)], which is copied."""

    def __init__(self, source: Sequence[Key], alive: NDArray[np.bool_]) -> None:
        self._source, self._alive = source, alive.copy()
        self._places = np.flatnonzero(alive)

    def __len__(self) -> int:
        return len(self._places)

    def _at(self, place: int) -> Key:
        return self._source[int(self._places[place])]

    def __iter__(self) -> Iterator[Key]:
        return compress(self._source, self._alive)
