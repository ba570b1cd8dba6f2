"""The sheet that steps look at: all rows of a build, over its shards (step.Sheet says what it promises)."""

# pyright: reportUnknownParameterType=false
# pyarrow ships no types.
from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from chiasm.dataset.decisions import Decisions
from chiasm.dataset.keys import ChosenKeys, ShardKeys
from chiasm.dataset.measure import MEASURES
from chiasm.dataset.schema import SCHEMA, from_arrow
from chiasm.dataset.shards import MEASURED, Shard
from chiasm.dataset.split import Key
from chiasm.types import Record

_OPEN = 16
"""Shards that are kept open while rows of many are asked for in turn."""


class ShardSheet:
    """step.Sheet over read shards, with what was decided so far. Row numbers count through the shards in their order."""

    def __init__(self, shards: Sequence[Path], root: Path | None) -> None:
        self._root = root
        self._shards = [Shard(path) for path in shards]
        pictures: list[NDArray[np.int64]] = []
        self._starts = [0]
        measured: list[NDArray[np.bool_]] = []
        for shard in self._shards:
            rows = shard.rows(["image", MEASURED])
            parts = [~np.asarray(part.is_null()) for part in rows.column(MEASURED).flatten()]
            measured.append(np.any(parts, axis=0) if parts else np.zeros(rows.num_rows, bool))
            pictures.append(np.asarray(rows.column("image").value_lengths().fill_null(0)).astype(np.int64))
            self._starts.append(self._starts[-1] + rows.num_rows)
        self._measured = np.concatenate([np.zeros(0, bool), *measured])
        keys = ShardKeys(self._shards, self._starts)
        self.decisions = Decisions(keys, np.concatenate([np.zeros(0, np.int64), *pictures]))
        self._open = lru_cache(_OPEN)(lambda number, columns: self._shards[number].rows(columns))

    @property
    def root(self) -> Path | None:
        return self._root

    @property
    def rows(self) -> NDArray[np.int64]:
        return np.flatnonzero(self.decisions.alive)

    @property
    def measured(self) -> bool:
        """Whether anything was measured of any row that is still there."""
        return bool(self._measured[self.decisions.alive].any())

    @property
    def keys(self) -> Sequence[Key]:
        return ChosenKeys(self.decisions.keys, self.decisions.alive)

    @property
    def measures(self) -> pa.Table:
        alive = self.decisions.alive
        return self._measures if alive.all() else self._measures.take(pa.array(self.rows))

    @cached_property
    def _measures(self) -> pa.Table:
        """Of all rows, in the mapped files: a page of them is in memory once a step has looked at it."""
        parts = [shard.rows([MEASURED]).column(0).flatten() for shard in self._shards]  # null where the struct is
        return pa.Table.from_batches([pa.RecordBatch.from_arrays(part, schema=MEASURES) for part in parts], MEASURES)

    @property
    def shards(self) -> int:
        return len(self._shards)

    def shard(self, number: int) -> tuple[Shard, int]:
        """The shard and the number of its first row."""
        return self._shards[number], self._starts[number]

    def records(
        self, rows: Sequence[int] | None = None, columns: Sequence[str] | None = None
    ) -> Iterator[tuple[int, Record]]:
        wanted = self.rows if rows is None else np.unique(np.asarray(rows, np.int64))
        names = tuple(SCHEMA.names if columns is None else dict.fromkeys(("id", *columns)))
        cuts = np.searchsorted(wanted, self._starts)
        for number in range(self.shards):
            shard, start = self.shard(number)
            here = wanted[cuts[number] : cuts[number + 1]]
            if not len(here):
                continue
            batch = shard.rows(names)
            for begin in range(0, len(here), 64):  # media become Python's own bytes a few records at a time
                some = here[begin : begin + 64]
                found = from_arrow(batch.take(pa.array(some - start)))
                for row, record in zip(some.tolist(), found, strict=True):
                    yield row, self._placed(row, self.decided(row, record, names))

    def decided(self, row: int, record: Record, columns: Sequence[str]) -> Record:
        """`record` of the shards as decided so far, in the given columns."""
        if not self.decisions.touches(row):
            return record
        whole = self.decisions.record(row, record, lambda members: self._take(members, tuple(columns)))
        return Record(**{name: getattr(whole, name) for name in columns})

    def _placed(self, row: int, record: Record) -> Record:
        """With the group and the split that were decided."""
        if row not in self.decisions.splits:
            return record
        return replace(record, group=self.decisions.groups[row], split=self.decisions.splits[row])

    def _take(self, rows: Iterable[int], columns: tuple[str, ...]) -> Iterator[Record]:
        for row in rows:
            number = bisect_right(self._starts, row) - 1
            # An empty shard starts where the next one does; bisect gives the last of them, which is the one that has the row.
            batch = self._open(number, columns)
            yield from from_arrow(batch.slice(row - self._starts[number], 1))
