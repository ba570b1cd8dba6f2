"""Shards: some hundred inputs in one Arrow file, with the ledger's rows that belong to them.

A *given* shard holds records as the source gave them; a *read* shard what was kept of them, their content digests and their measures. Both are
renamed into place when they are whole. Ledger rows lie in the file's metadata, so that a shard and its refusals are one thing.
"""

# pyright: reportUnknownParameterType=false
# pyarrow ships no types.
from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from chiasm.config import BuildConfig
from chiasm.dataset.clean import NOT_TEXT, encodable
from chiasm.dataset.measure import MEASURES
from chiasm.dataset.schema import SCHEMA, to_arrow
from chiasm.dataset.work import Work
from chiasm.errors import MachineError
from chiasm.sources import Progress, Source
from chiasm.types import Media, Record, Rejected, Text

CHUNK_ROWS = 512
CHUNK_BYTES = 32 * 2**20
"""A shard ends when it has so many inputs, or so many bytes of media and texts: what a build holds in memory, whatever the source's size.
Media beside the source count where they are to be embedded, for they are held together then."""

CONTENTS = "contents"
MEASURED = "measures"
READ = SCHEMA.append(pa.field(CONTENTS, pa.list_(pa.string()))).append(pa.field(MEASURED, pa.struct(list(MEASURES))))
"""The columns of a read shard: the record's, its content digests (split.Key) and its measures, null where nothing was measured."""


@dataclass(slots=True)
class Chunk:
    """What goes into one given shard. given: inputs, whether they became records or not."""

    records: list[Record] = field(default_factory=list[Record])
    ledger: list[Rejected] = field(default_factory=list[Rejected])
    given: int = 0
    size: int = 0

    @property
    def full(self) -> bool:
        return len(self.records) + len(self.ledger) >= CHUNK_ROWS or self.size >= CHUNK_BYTES


def write_shard(path: Path, rows: pa.RecordBatch, ledger: Sequence[Rejected], **counts: int) -> None:
    """One Arrow file, under its name only when it is whole. Raises MachineError where the disk fails."""
    notes = {"ledger": json.dumps([asdict(row) for row in ledger]), "counts": json.dumps(counts)}
    schema = rows.schema.with_metadata(notes)
    part = path.with_name(path.name + ".part")
    try:
        with pa.OSFile(str(part), "wb") as file, pa.ipc.new_file(file, schema) as writer:
            writer.write_batch(rows.replace_schema_metadata(notes))
        part.replace(path)
    except OSError as error:
        raise MachineError(f"{path.parent}: cannot be written: {error.strerror or error}") from None


class Shard:
    """A shard that is there. Opening maps it and reads its schema; columns are read when asked for."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self.counts: dict[str, int] = json.loads(self._note(b"counts"))
        except (OSError, pa.ArrowException, KeyError, ValueError) as error:
            raise MachineError(f"{path}: cannot be read: {error}; delete its folder and build again") from None

    @property
    def ledger(self) -> list[Rejected]:
        return [Rejected(**row) for row in json.loads(self._note(b"ledger"))]

    def _note(self, name: bytes) -> bytes:
        with pa.memory_map(str(self._path)) as file, pa.ipc.open_file(file) as reader:
            return (reader.schema.metadata or {})[name]

    def rows(self, columns: Sequence[str] | None = None) -> pa.RecordBatch:
        """The shard's rows, of all columns or of those named; they lie in the mapped file until they are looked at.

        Arrow is not told which columns are wanted: it then reads the whole batch, media included, into memory of its own
        (IpcReadOptions.included_fields with the first column among them)."""
        with pa.memory_map(str(self._path)) as file, pa.ipc.open_file(file) as reader:
            batch = reader.get_batch(0)
        return batch if columns is None else batch.select([name for name in batch.schema.names if name in columns])


def usable(path: Path) -> bool:
    """Whether a shard is there and whole (a disk that lost power can leave a named file without its content)."""
    if not path.exists():
        return False
    try:
        Shard(path)
    except MachineError:
        return False
    return True


def cut(source: Source, config: BuildConfig, work: Work, progress: Progress | None) -> dict[str, Any]:
    """Write the source's inputs, in order, into given shards; those that are there already are not written again.

    Returns {"shards", "given"}. An input whose id was there before is refused (`duplicate_id`).
    """
    known = work.sealed()
    if known is not None and all(_there(work, number) for number in range(known["shards"])):
        return known
    total = source.total
    if config.limit is not None:
        total = min(config.limit, total if total is not None else config.limit)
    number = given = 0
    moved = False  # media of a manifest that changed since may end shards elsewhere: from the first that differs, all are cut anew
    for chunk in _chunks(source, config.limit, config.embed_media):
        there = _there(work, number)
        moved = moved or (there and not _there(work, number, chunk.given))
        if moved or not there:
            work.read(number).unlink(missing_ok=True)
            write_shard(work.given(number), _given_rows(chunk), chunk.ledger, given=chunk.given)
        number += 1
        given += chunk.given
        if progress is not None:
            progress("read", given, total)
    known = {"shards": number, "given": given}
    work.seal(known)
    return known


def _there(work: Work, number: int, given: int | None = None) -> bool:
    """Whether a shard is there; `given`: and holds so many inputs."""
    path = next((path for path in (work.read(number), work.given(number)) if usable(path)), None)
    return path is not None and (given is None or Shard(path).counts["given"] == given)


def _chunks(source: Source, limit: int | None, embed: bool) -> Iterator[Chunk]:
    chunk = Chunk()
    ids: set[str] = set()
    given = 0
    for item in source.records():
        counts = not isinstance(item, Rejected) or item.part == "record"
        if counts and limit is not None and given >= limit:
            break
        if counts:
            given += 1
            chunk.given += 1
        if isinstance(item, Rejected):
            chunk.ledger.append(item)
        elif item.id in ids:
            chunk.ledger.append(Rejected(item.id, "record", "duplicate_id", "an earlier input has this id"))
        else:
            ids.add(item.id)
            chunk.records.append(item)
            chunk.size += sum(_size(m, source.root, embed) for m in (*item.image, *item.audio, *item.video))
            chunk.size += sum(len(text.text) for text in item.texts)
        if chunk.full:
            yield chunk
            chunk = Chunk()
    if chunk.given or chunk.ledger:
        yield chunk


def _size(media: Media, root: Path | None, embed: bool) -> int:
    """Bytes that a medium will hold in memory."""
    if media.data is not None or media.path is None or not embed:
        return len(media.data or b"")
    try:
        return (Path(media.path) if root is None else root / media.path).stat().st_size
    except (OSError, ValueError):  # whoever reads it says what is wrong with it
        return 0


def _given_rows(chunk: Chunk) -> pa.RecordBatch:
    """The chunk's records as Arrow. One that cannot be text in UTF-8 becomes a row of the chunk's ledger."""
    try:
        return to_arrow(chunk.records)
    except UnicodeEncodeError:
        kept: list[Record] = []
        for record in chunk.records:
            # What is no character is dropped from texts when they are cleaned; it cannot be stored until then either.
            if encodable(record):
                texts = tuple(Text(_characters(text.text), text.language, text.kind) for text in record.texts)
                kept.append(replace(record, texts=texts))
            else:
                chunk.ledger.append(Rejected(record.id, "record", "encoding", NOT_TEXT))
        return to_arrow(kept)


def _characters(text: str) -> str:
    return text.encode("utf8", "ignore").decode("utf8")
