"""A source becomes a table: read, clean, check, split, write; streamed, and whole or not at all."""

# pyright: reportUnknownParameterType=false
# pyarrow ships no types.
from __future__ import annotations

import json
import os
import shutil
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from chiasm.config import BuildConfig
from chiasm.dataset.clean import Checked, check_record
from chiasm.dataset.interrupt import Interruption
from chiasm.dataset.publish import check_out, ledger_path, publish, sweep
from chiasm.dataset.schema import FORMAT, SCHEMA, to_arrow
from chiasm.dataset.split import Assignment, Key, assign, too_small
from chiasm.dataset.table import META
from chiasm.errors import ConfigError, DataError, MachineError
from chiasm.sources import Progress, Source, open_source
from chiasm.types import Record, Rejected

CHUNK_ROWS = 512
CHUNK_BYTES = 32 * 2**20
"""A chunk is handed to Lance when it has so many rows or media bytes: what a build holds in memory,
whatever the source's size.
"""

_LATE = ("group", "split")
"""Columns known only when every record has been seen."""


@dataclass(frozen=True, slots=True)
class BuildResult:
    """What a build made. given = accepted + rejected; dropped_parts counts media and texts taken out of
    records that were kept.

    reasons: ledger rows by reason. leaks: ways in which the source's own splits share content (chiasm's own
    splits have none). too_small: splits that were asked for and hold fewer than 2 rows.
    """

    path: Path
    given: int
    accepted: int
    rejected: int
    dropped_parts: int
    splits: Mapping[str, int]
    ledger: Path
    reasons: Mapping[str, int]
    leaks: tuple[str, ...]
    too_small: tuple[str, ...]
    seconds: float


def build(
    source: Source | str,
    out: Path,
    config: BuildConfig | None = None,
    *,
    progress: Progress | None = None,
    overwrite: bool = False,
) -> BuildResult:
    """Write every usable record of `source` to the Lance table `out`, and every refusal to the ledger
    `OUT.rejects.jsonl` beside it.

    The table appears under its name only when it is complete, and the ledger after it: of a build that fails
    over an older table, neither is left. Raises ConfigError where the held-out shares leave nothing to train
    on; DataError where `out` exists (and `overwrite` is not given, or it is no chiasm table), or no record is
    usable; MachineError where the disk fails; KeyboardInterrupt on Ctrl-C, when nothing runs any more.
    """
    config = config or BuildConfig()
    if isinstance(source, str):
        source = open_source(source, config)
    _check_shares(source, config)
    started = time.monotonic()
    out = Path(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        sweep(out)
    except OSError as error:
        raise MachineError(f"{out.parent}: cannot be written: {error.strerror or error}") from None
    check_out(out, overwrite)
    source.prepare(progress)
    part = out.with_name(f".{out.name}.part-{os.getpid()}")
    ledger = ledger_path(out)
    ledger_part = ledger.with_name(f".{ledger.name}.part-{os.getpid()}")
    try:
        with ledger_part.open("w", encoding="utf8") as file:
            run = _Run(source, config, file, progress)
            run.write(part)
        if not run.keys:
            kept = not out.exists()  # else it is the ledger of the table that stays
            if kept:
                ledger_part.replace(ledger)
            raise DataError(_nothing(source, run, ledger if kept else None))
        _report(progress, "split", 0, None)
        assignment = assign(
            run.keys, rule=source.rule, validation=config.validation, test=config.test, seed=config.seed
        )
        splits = _finish(part, source, config, run, assignment, out)
        publish(part, out)
        ledger_part.replace(ledger)
    finally:
        shutil.rmtree(part, ignore_errors=True)
        ledger_part.unlink(missing_ok=True)
    return BuildResult(
        out,
        run.given,
        len(run.keys),
        run.rejected,
        run.dropped,
        splits,
        ledger,
        dict(run.reasons.most_common()),
        assignment.leaks,
        too_small(assignment.splits, rule=source.rule, validation=config.validation, test=config.test),
        time.monotonic() - started,
    )


class _Run:
    """The streaming half of a build: counts, ledger, and the keys that the split will need."""

    def __init__(self, source: Source, config: BuildConfig, ledger: IO[str], progress: Progress | None) -> None:
        self.given = self.rejected = self.dropped = 0
        self.reasons: Counter[str] = Counter()
        self.keys: list[Key] = []
        self._ids: set[str] = set()
        self._source, self._config, self._ledger, self._progress = source, config, ledger, progress
        self._failure: BaseException | None = None
        self._interruption = Interruption()

    def write(self, path: Path) -> None:
        """Stream all records into a new Lance dataset at `path`."""
        import lance

        schema = pa.schema([field for field in SCHEMA if field.name not in _LATE])
        try:
            batches = pa.RecordBatchReader.from_batches(schema, self._batches(schema))
            with self._interruption:
                lance.write_dataset(batches, str(path), schema=schema)
        except (OSError, ValueError) as error:
            if self._failure is not None:  # the source or the checks failed, not the disk: Lance only passed it on
                raise self._failure from None
            raise MachineError(f"{path.parent}: the table cannot be written: {str(error).splitlines()[0]}") from None

    def _batches(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        chunk: list[Record] = []
        size = 0
        try:
            for record in self._accepted():
                self._interruption.check()
                chunk.append(record)
                size += sum(len(m.data or b"") for m in (*record.image, *record.audio, *record.video))
                if len(chunk) >= CHUNK_ROWS or size >= CHUNK_BYTES:
                    yield to_arrow(chunk, schema)
                    chunk, size = [], 0
            if chunk:
                yield to_arrow(chunk, schema)
        except GeneratorExit:
            raise
        except BaseException as error:
            self._failure = error
            raise

    def _accepted(self) -> Iterator[Record]:
        """Records that passed, in the source's order, checked by `workers` threads that run a little
        ahead.
        """
        total = self._source.total
        if self._config.limit is not None:
            total = min(self._config.limit, total if total is not None else self._config.limit)
        pending: deque[Future[Checked]] = deque()
        with ThreadPoolExecutor(self._config.workers, "check") as pool:
            try:
                for item in self._source.records():
                    self._interruption.check()
                    if isinstance(item, Rejected):
                        if item.part == "record" and not self._count():
                            break
                        self._reject(item)
                        continue
                    if not self._count():
                        break
                    if item.id in self._ids:
                        self._reject(Rejected(item.id, "record", "duplicate_id", "an earlier input has this id"))
                        continue
                    self._ids.add(item.id)
                    pending.append(pool.submit(self._check, item))
                    if len(pending) >= 4 * self._config.workers:
                        yield from self._settle(pending.popleft(), total)
                while pending:
                    yield from self._settle(pending.popleft(), total)
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _count(self) -> bool:
        """Count one more input; False where the limit is reached."""
        if self._config.limit is not None and self.given >= self._config.limit:
            return False
        self.given += 1
        return True

    def _check(self, record: Record) -> Checked:
        return check_record(record, self._source.root, vouched=self._source.checked, embed=self._config.embed_media)

    def _settle(self, future: Future[Checked], total: int | None) -> Iterator[Record]:
        checked = future.result()
        for rejected in checked.rejected:
            self._reject(rejected)
        if checked.record is not None:
            self.keys.append(checked.key)
            yield checked.record
        done = len(self.keys) + self.rejected
        if done % 64 == 0 or done == total:
            _report(self._progress, "read", done, total)

    def _reject(self, rejected: Rejected) -> None:
        if rejected.part == "record":
            self.rejected += 1
        else:
            self.dropped += 1
        self.reasons[rejected.reason] += 1
        self._ledger.write(json.dumps(asdict(rejected), ensure_ascii=True) + "\n")


def _finish(
    part: Path, source: Source, config: BuildConfig, run: _Run, assignment: Assignment, out: Path
) -> dict[str, int]:
    """Add the late columns and the summary; the split's sizes."""
    import lance

    counts = Counter(assignment.splits)
    splits = {name: counts[name] for name in sorted(counts, key=lambda name: (name != "train", name))}
    late = pa.table({"group": list(assignment.groups), "split": list(assignment.splits)})
    summary: dict[str, Any] = {
        "format": FORMAT,
        "source": source.name,
        "attribution": source.attribution,
        "given": run.given,
        "accepted": len(run.keys),
        "rejected": run.rejected,
        "dropped_parts": run.dropped,
        "reasons": dict(run.reasons.most_common()),
        "splits": splits,
        "rule": source.rule,
        "leaks": len(assignment.leaks),
        "seed": config.seed,
        "config": config.model_dump(mode="json"),
    }
    if source.root is not None and not config.embed_media:
        root = source.root.resolve()
        summary["root"] = str(root)
        summary["root_beside"] = os.path.relpath(root, out.resolve().parent)
    try:
        dataset = lance.dataset(str(part))
        dataset.add_columns(late.to_reader())  # no Python iterator: Lance's threads may outlive an interrupt
        dataset.update_metadata({META: json.dumps(summary, ensure_ascii=False)})
    except (OSError, ValueError) as error:
        raise MachineError(f"{out.parent}: the table cannot be written: {str(error).splitlines()[0]}") from None
    return splits


def _check_shares(source: Source, config: BuildConfig) -> None:
    # BuildConfig has checked validation + test; the rule of forms holds out `test` twice.
    if source.rule == "forms" and 2 * config.test + config.validation >= 1:
        raise ConfigError(
            f"{source.name}: test={config.test:g} is taken twice here (concept, variation): with "
            f"validation={config.validation:g} nothing is left to train on; 2 × test + validation must be below 1"
        )


def _nothing(source: Source, run: _Run, ledger: Path | None) -> str:
    if not run.given:
        return f"{source.name}: no records in it"
    reasons = ", ".join(f"{count} × {reason}" for reason, count in run.reasons.most_common(3))
    return f"{source.name}: none of {run.given} inputs can be used ({reasons})" + (
        f"; each is explained in {ledger}" if ledger else ""
    )


def _report(progress: Progress | None, stage: str, done: int, total: int | None) -> None:
    if progress is not None:
        progress(stage, done, total)
