"""A sheet in memory, for tests of single steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from chiasm.dataset.split import Key
from chiasm.types import Record


class RecordSheet:
    """The sheet of a list of records; `gone`: row numbers that an earlier step removed."""

    root: Path | None = None

    def __init__(
        self, records: Sequence[Record], measures: Mapping[str, Any] | None = None, gone: Sequence[int] = ()
    ) -> None:
        self._records = list(records)
        self.rows: NDArray[np.int64] = np.array([i for i in range(len(records)) if i not in gone], np.int64)
        self._measures = pa.table(dict(measures or {}))

    @property
    def keys(self) -> Sequence[Key]:
        return [Key(r.id, r.group, r.split) for r in (self._records[row] for row in self.rows)]

    @property
    def measures(self) -> pa.Table:
        return self._measures

    def records(
        self, rows: Sequence[int] | None = None, columns: Sequence[str] | None = None
    ) -> Iterator[tuple[int, Record]]:
        names = {field.name for field in fields(Record)} if columns is None else {"id", *columns}
        empty = Record("")
        for row in self.rows if rows is None else rows:
            record = self._records[int(row)]
            cut = {f.name: getattr(empty, f.name) for f in fields(Record) if f.name not in names}
            yield int(row), replace(record, **cut)
