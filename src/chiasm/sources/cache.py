"""Files that were costly to make and can be made again: blobs by name, one Arrow file a set, in a folder
per user.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from chiasm.errors import MachineError


def cache_folder() -> Path:
    """CHIASM_CACHE, else XDG_CACHE_HOME/chiasm, else ~/.cache/chiasm."""
    own = os.environ.get("CHIASM_CACHE")
    if own:
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "chiasm"


class Blobs(Mapping[str, bytes]):
    """A read-only mapping from names to bytes over a memory-mapped Arrow column."""

    def __init__(self, names: Sequence[str], column: Any) -> None:
        self._rows = {name: row for row, name in enumerate(names)}
        self._column = column

    def __getitem__(self, name: str) -> bytes:
        return self._column[self._rows[name]].as_py()

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


def load_blobs(path: Path, names: Sequence[str]) -> Blobs | None:
    """The blobs stored at `path` for exactly `names`; None where there are none, or the file is damaged or
    of other names.
    """
    import pyarrow as pa

    try:
        with pa.memory_map(str(path)) as file:
            table = pa.ipc.open_file(file).read_all()
        stored = table.column("name").to_pylist()
        column = table.column("data").chunk(0)  # written as one; combine_chunks would copy it out of the mapping
        digest = (table.schema.metadata or {}).get(b"digest")
    except (OSError, ValueError, KeyError, IndexError, pa.ArrowException):
        return None
    if stored != list(names) or digest != _digest(column.buffers()[2]):
        return None
    return Blobs(stored, column)


def store_blobs(path: Path, names: Sequence[str], blobs: Sequence[bytes]) -> None:
    """Write `blobs`, whole or not at all. Raises MachineError where the disk refuses."""
    import pyarrow as pa

    column = pa.array(blobs, pa.large_binary())
    schema = pa.schema(
        [("name", pa.string()), ("data", pa.large_binary())],
        metadata={"digest": _digest(column.buffers()[2])},
    )
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with pa.OSFile(str(part), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
            writer.write_table(pa.table([pa.array(names, pa.string()), column], schema=schema))
        part.replace(path)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise MachineError(
            f"{path.parent}: the cache cannot be written ({error}); name another folder in CHIASM_CACHE"
        ) from None


def _digest(buffer: Any) -> bytes:
    return hashlib.blake2b(b"" if buffer is None else memoryview(buffer), digest_size=16).hexdigest().encode()
