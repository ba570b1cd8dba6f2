"""Rows of a manifest as plain dictionaries, one at a time and within bounds, whatever the file holds."""

from __future__ import annotations

import csv
import json
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from chiasm.errors import DataError

MAX_LINE = 16 * 2**20
"""Bytes of one line: room for a picture in base64, none for a file that is no manifest."""

ARROW = (".arrow", ".feather", ".ipc")

Row = tuple[int, "dict[str, Any] | RowError"]


class RowError(Exception):
    """One row that cannot be used; its reason goes into the ledger."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason, self.message = reason, message


def row_names(path: Path) -> list[str] | None:
    """The columns of a CSV, Parquet or Arrow file, from its head. None for JSONL, where every line has its own.

    Raises DataError for a Parquet or Arrow file that is none, and for one that cannot be opened.
    """
    suffix = path.suffix.lower()
    try:
        if suffix == ".parquet":
            return list(_parquet(path).schema_arrow.names)
        if suffix in ARROW:
            with _arrow(path) as reader:
                return list(reader.schema.names)
        with path.open("rb") as file:
            head = file.readline(MAX_LINE)
        if suffix == ".csv":
            return next(csv.reader([head.decode("utf-8-sig", "replace")]), [])
    except (OSError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None
    return None


def read_jsonl(path: Path) -> Iterator[Row]:
    """(line number from 1, object). Blank lines are passed over."""
    for number, line in _lines(path):
        if isinstance(line, RowError):
            yield number, line
        elif line.strip():
            yield number, _object(line)


def _object(line: bytes) -> dict[str, Any] | RowError:
    try:
        value = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        return RowError("encoding", f"not UTF-8: {error.reason} at byte {error.start}")
    except (ValueError, RecursionError) as error:
        return RowError("malformed", f"not JSON: {error}")
    if not isinstance(value, dict):
        return RowError("malformed", f"expected an object {{…}}, found a {type(value).__name__}")
    return value


def read_csv(path: Path) -> Iterator[Row]:
    """(line number, row by the names in the first line). A quoted cell may hold line breaks."""

    def text() -> Iterator[str]:
        for number, line in _lines(path):
            if isinstance(line, RowError):
                # The reader cannot skip a line that may open a quote: what follows has no sure meaning.
                raise DataError(f"{path}: line {number}: {line.message}")
            yield line.decode("utf-8-sig" if number == 1 else "utf8", "replace")

    csv.field_size_limit(MAX_LINE)
    reader = csv.reader(text(), strict=True)
    names: list[str] | None = None
    while True:
        number = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield number, RowError("malformed", f"not CSV: {error}")
            continue
        if names is None:
            names = [name.strip() for name in cells]
        elif len(cells) == len(names):
            yield number, dict(zip(names, cells, strict=True))
        elif any(cell.strip() for cell in cells):
            yield number, RowError("malformed", f"{len(cells)} cells where the first line names {len(names)}")


def read_parquet(path: Path) -> Iterator[Row]:
    """(row number from 1, row), a small batch in memory at a time."""
    import pyarrow as pa

    number = 0
    file = _parquet(path)
    classes = _class_names(file.schema_arrow)
    try:
        for batch in file.iter_batches(batch_size=64):
            for row in batch.to_pylist(maps_as_pydicts="lossy"):
                number += 1
                yield number, _named(row, classes)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: damaged after row {number}: {error}") from None


def read_arrow(path: Path) -> Iterator[Row]:
    """(row number from 1, row) of an Arrow IPC file (.arrow, .feather) or stream (as `datasets` saves), memory-mapped."""
    import pyarrow as pa

    number = 0
    with _arrow(path) as reader:
        classes = _class_names(reader.schema)
        try:
            count = getattr(reader, "num_record_batches", None)
            batches = reader if count is None else (reader.get_batch(index) for index in range(count))
            for batch in batches:
                batch.validate(full=True)  # offsets of a hostile file may lead anywhere
                for start in range(0, batch.num_rows, 64):
                    for row in batch.slice(start, 64).to_pylist(maps_as_pydicts="lossy"):
                        number += 1
                        yield number, _named(row, classes)
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise DataError(f"{path}: damaged after row {number}: {error}") from None


@contextmanager
def _arrow(path: Path) -> Generator[Any]:
    import pyarrow as pa

    try:
        with pa.memory_map(str(path)) as file:
            head = file.read(6)
            file.seek(0)
            opened = pa.ipc.open_file(file) if head == b"ARROW1" else pa.ipc.open_stream(file)
            with opened as reader:
                yield reader
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: not an Arrow file that can be read: {error}") from None


def _class_names(schema: Any) -> dict[str, list[str]]:
    """Columns whose numbers stand for class names, as the `datasets` library notes in a file's metadata."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return {
            str(column): [str(name) for name in feature["names"]]
            for column, feature in features.items()
            if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" and isinstance(feature["names"], list)
        }
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError):
        return {}


def _named(row: dict[str, Any], classes: dict[str, list[str]]) -> dict[str, Any]:
    for column, names in classes.items():
        value = row.get(column)
        if isinstance(value, int) and 0 <= value < len(names):
            row[column] = names[value]
    return row


def _parquet(path: Path) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: not a Parquet file that can be read: {error}") from None


def _lines(path: Path) -> Iterator[tuple[int, bytes | RowError]]:
    with path.open("rb") as file:
        yield from bounded_lines(file)


def bounded_lines(file: IO[bytes]) -> Iterator[tuple[int, bytes | RowError]]:
    """(number from 1, line) for lines of at most MAX_LINE bytes; a longer one is passed over without being held in memory."""
    number = 0
    while line := file.readline(MAX_LINE + 1):
        number += 1
        if len(line) <= MAX_LINE or line.endswith(b"\n"):
            yield number, line
            continue
        while (rest := file.readline(MAX_LINE)) and not rest.endswith(b"\n"):
            pass
        yield number, RowError("too_long", f"more than {MAX_LINE:,} bytes in one line")
