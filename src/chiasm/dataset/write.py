"""The last phase of a build: the shards stream once more, with all that was decided, into the Lance table; and the ledger beside it."""

# pyright: reportUnknownParameterType=false
# pyarrow ships no types.
from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from chiasm.dataset.interrupt import Interruption
from chiasm.dataset.place import is_remote, plain, storage_options
from chiasm.dataset.schema import SCHEMA, from_arrow, to_arrow
from chiasm.dataset.shards import CHUNK_BYTES, CHUNK_ROWS, MEASURED, READ, Shard, write_shard
from chiasm.dataset.sheet import ShardSheet
from chiasm.dataset.table import META, exists
from chiasm.errors import MachineError
from chiasm.sources import Progress
from chiasm.types import Record, Rejected


def spool(added: Iterable[tuple[int, Record]], sheet: ShardSheet, folder: Path) -> tuple[list[Path], Counter[str]]:
    """Write records that a step made into shards, each with its origin's group and split. Returns the shards, and the rows by split.

    Raises ValueError for an id that is there already.
    """
    decisions = sheet.decisions
    ids = {key.id for key in sheet.keys}
    paths: list[Path] = []
    splits: Counter[str] = Counter()
    chunk: list[Record] = []
    size = 0

    def flush() -> None:
        nonlocal chunk, size
        if chunk:
            folder.mkdir(exist_ok=True)
            paths.append(folder / f"{len(paths):06}.arrow")
            write_shard(paths[-1], to_arrow(chunk), ())
        chunk, size = [], 0

    for row, record in added:
        if record.id in ids:
            raise ValueError(f"an added record has the id {record.id!r}, which is there already")
        ids.add(record.id)
        split = decisions.splits[row]
        splits[split] += 1
        chunk.append(replace(record, group=decisions.groups[row], split=split))
        size += sum(len(m.data or b"") for m in (*record.image, *record.audio, *record.video))
        if len(chunk) >= CHUNK_ROWS or size >= CHUNK_BYTES:
            flush()
    flush()
    return paths, splits


def write_table(
    sheet: ShardSheet, added: Sequence[Path], out: Path, place: Path, summary: dict[str, Any], progress: Progress | None
) -> None:
    """Write the Lance table at `place`: one commit, which carries `summary` as its metadata. Raises MachineError where the disk fails."""
    import lance

    fields = [*SCHEMA, *([READ.field(MEASURED)] if sheet.measured else [])]
    for name, values in sheet.decisions.columns.items():
        kind = pa.float32() if values.ndim == 1 else pa.list_(pa.float32(), values.shape[1])
        fields.append(pa.field(name, kind))
    schema = pa.schema(fields, metadata={META: json.dumps(summary, ensure_ascii=False)})
    interruption = Interruption()
    stream = _Stream(sheet, added, schema, interruption, progress, sum(summary["splits"].values()))
    mode = "overwrite" if is_remote(out) and exists(out) else "create"
    try:
        with interruption:
            reader = pa.RecordBatchReader.from_batches(schema, stream.batches())
            lance.write_dataset(reader, plain(place), schema=schema, mode=mode, storage_options=storage_options(place))
    except (OSError, ValueError) as error:
        if stream.failure is not None:  # what fed it failed, not the disk: Lance only passed it on
            raise stream.failure from None
        raise MachineError(f"{plain(out)}: the table cannot be written: {str(error).splitlines()[0]}") from None


class _Stream:
    """The table's batches, shard by shard."""

    def __init__(
        self,
        sheet: ShardSheet,
        added: Sequence[Path],
        schema: pa.Schema,
        interruption: Interruption,
        progress: Progress | None,
        total: int,
    ) -> None:
        self._sheet, self._added, self._schema, self._interruption = sheet, added, schema, interruption
        self._progress, self._total = progress, total
        self.failure: BaseException | None = None

    def batches(self) -> Iterator[pa.RecordBatch]:
        try:
            done, total = 0, self._total
            for number in range(self._sheet.shards):
                self._interruption.check()
                batch = self._batch(number)
                if batch.num_rows:
                    yield batch
                done += batch.num_rows
                _report(self._progress, done, total)
            for path in self._added:
                self._interruption.check()
                batch = self._complete(Shard(path).rows(), np.zeros(0, np.int64))
                yield batch
                done += batch.num_rows
                _report(self._progress, done, total)
        except GeneratorExit:
            raise
        except BaseException as error:
            self.failure = error
            raise

    def _batch(self, number: int) -> pa.RecordBatch:
        """The rows of one shard that are still there. Only records that a step changed become Python's and Arrow's again."""
        shard, start = self._sheet.shard(number)
        batch, decisions = shard.rows(), self._sheet.decisions
        rows = start + np.flatnonzero(decisions.alive[start : start + batch.num_rows])
        if len(rows) < batch.num_rows:
            batch = batch.take(pa.array(rows - start))
        changed = np.array([index for index, row in enumerate(rows.tolist()) if decisions.touches(row)], np.int64)
        if len(changed):
            records = from_arrow(batch.take(pa.array(changed)))
            anew = to_arrow(
                [
                    self._sheet.decided(row, record, SCHEMA.names)
                    for row, record in zip(rows[changed].tolist(), records, strict=True)
                ]
            )
            order = np.arange(len(rows))
            order[changed] = len(rows) + np.arange(len(changed))
            columns = {
                name: pa.concat_arrays([batch.column(name), anew.column(name)]).take(pa.array(order))
                for name in SCHEMA.names
            }
            columns[MEASURED] = batch.column(MEASURED)
            batch = pa.RecordBatch.from_pydict(columns)
        return self._complete(batch, rows)

    def _complete(self, batch: pa.RecordBatch, rows: np.ndarray[Any, Any]) -> pa.RecordBatch:
        """With group, split and the steps' columns; rows that a step added (none in `rows`) have their own, and no columns."""
        decisions = self._sheet.decisions
        arrays: list[pa.Array] = []
        for field in self._schema:
            if field.name in ("group", "split") and len(rows):
                decided = decisions.groups if field.name == "group" else decisions.splits
                arrays.append(pa.array([decided[row] for row in rows.tolist()], field.type))
            elif field.name in decisions.columns:
                arrays.append(_column(decisions.columns[field.name][rows], field.type, batch.num_rows))
            elif field.name == MEASURED and not len(rows):
                arrays.append(pa.nulls(batch.num_rows, field.type))
            else:
                arrays.append(batch.column(field.name))
        return pa.RecordBatch.from_arrays(arrays, schema=self._schema)


def _column(values: np.ndarray[Any, Any], kind: pa.DataType, count: int) -> pa.Array:
    """Null for rows that the step did not see."""
    if not len(values):
        return pa.nulls(count, kind)
    missing = np.isnan(values) if values.ndim == 1 else np.isnan(values).any(axis=1)
    if values.ndim == 1:
        return pa.array(values, kind, mask=missing)
    flat = pa.array(np.ascontiguousarray(values).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, type=kind, mask=pa.array(missing))


class Ledger:
    """Counts and writes the rows of the ledger: those of the shards in their order, then those of the steps."""

    def __init__(self, sheet: ShardSheet) -> None:
        self._sheet = sheet
        self.rejected = self.dropped = 0
        self.reasons: Counter[str] = Counter()
        for row in self.rows():
            if row.part == "record":
                self.rejected += 1
            elif row.part != "language":  # a remark: nothing was taken out
                self.dropped += 1
            self.reasons[row.reason] += 1

    def rows(self) -> Iterator[Rejected]:
        for number in range(self._sheet.shards):
            yield from self._sheet.shard(number)[0].ledger
        yield from self._sheet.decisions.refused

    def write(self, path: Path) -> None:
        with path.open("w", encoding="utf8") as file:
            for row in self.rows():
                file.write(json.dumps(asdict(row), ensure_ascii=True) + "\n")


def _report(progress: Progress | None, done: int, total: int) -> None:
    if progress is not None:
        progress("write", done, total)
