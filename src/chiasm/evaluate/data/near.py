"""Near-duplicates that are left in a table: what the step *dedup* finds in it, by its own settings, but for texts in other dress."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownParameterType=false
# pyarrow ships no types.
from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from chiasm.building import DedupConfig
from chiasm.config import BuildConfig
from chiasm.dataset.dedup import near_rows
from chiasm.dataset.split import Key
from chiasm.dataset.table import Table
from chiasm.evaluate.data.leaks import near_sets
from chiasm.evaluate.data.rows import CHUNK, Rows, Sample, is_copy
from chiasm.types import Record


@dataclass(frozen=True)
class TableSheet:
    """Rows of a table as a step reads them (dataset/step.Sheet)."""

    table: Table
    rows: NDArray[np.int64]
    keys: Sequence[Key]
    measures: pa.Table

    @property
    def root(self) -> Path:
        return self.table.root or self.table.path.parent

    def records(
        self, rows: Sequence[int] | None = None, columns: Sequence[str] | None = None
    ) -> Iterator[tuple[int, Record]]:
        wanted = self.rows.tolist() if rows is None else list(rows)
        names = (
            None
            if columns is None
            else [name for name in dict.fromkeys(("id", *columns)) if name in self.table.column_names]
        )
        for start in range(0, len(wanted), CHUNK):
            part = wanted[start : start + CHUNK]
            yield from zip(part, self.table.records(part, names), strict=True)


def near_duplicates(rows: Rows, sample: Sample, equal: Sequence[Sequence[int]]) -> tuple[list[list[int]], int]:
    """Sets of rows (positions in the table), largest first, that hold the same or nearly the same, those that are `equal` included; and how
    many rows were compared: all whose measures are known."""
    own = [not any(map(is_copy, (*r.image, *r.audio, *r.video))) for r in sample.records]
    chosen = sample.rows[np.array(own, np.bool_)]
    measures = sample.measures.take(np.searchsorted(sample.measured, chosen))
    keys = [Key(rows.records[row].id) for row in chosen.tolist()]
    sheet = TableSheet(rows.table, chosen, keys, measures)
    config = BuildConfig(dedup=DedupConfig(near="group"))
    tied = near_rows(sheet, config)
    tied += [(members[0], row) for members in equal for row in members[1:]]
    return near_sets(tied, len(rows.records)), len(chosen)
