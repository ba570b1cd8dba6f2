"""Decoded media of the rows that a run trains on.

A picture is decoded and scaled, a sound becomes log-mel, once: the result is kept in a memory-mapped file that every process of the run
shares, so memory stays with the operating system and an epoch costs no decoding. Tables too large for that are decoded as drawn.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from chiasm.dataset.table import Table
from chiasm.errors import DataError, MediaError
from chiasm.types import Media

Decode = Callable[[bytes], NDArray[np.uint8]]
Key = tuple[int, int]
"""(row of the table, index of the medium in that row)."""


class Store(Protocol):
    """Decoded media by key. A medium that cannot be read is None, and is counted where the store was made."""

    def get(self, keys: Sequence[Key]) -> list[NDArray[np.uint8] | None]: ...


@dataclass(frozen=True)
class DirectStore:
    """Reads and decodes on every call."""

    table: Table
    column: str
    decode: Decode

    def get(self, keys: Sequence[Key]) -> list[NDArray[np.uint8] | None]:
        records = self.table.records([row for row, _ in keys], columns=["id", self.column])
        media = [getattr(record, self.column)[index] for record, (_, index) in zip(records, keys, strict=True)]
        return [_decode(self.table, medium, self.decode) for medium in media]


class MappedStore:
    """Decoded arrays in one file, found by key; all have the same trailing shape and differ in their first axis."""

    def __init__(self, folder: Path, column: str) -> None:
        index = json.loads((folder / f"{column}.json").read_text(encoding="utf8"))
        self._shape: tuple[int, ...] = tuple(index["shape"])
        self._where: dict[Key, tuple[int, int]] = {}
        self._parts: list[NDArray[np.uint8]] = []
        for part in range(index["parts"]):
            entries = np.load(folder / f"{column}.{part}.npy", allow_pickle=False)
            for row, item, start, stop in entries.tolist():
                self._where[row, item] = (start << 8 | part, stop)
            file = folder / f"{column}.{part}.bin"
            values = np.memmap(file, np.uint8, "r") if file.stat().st_size else np.zeros(0, np.uint8)
            self._parts.append(values.reshape(-1, *self._shape))

    def get(self, keys: Sequence[Key]) -> list[NDArray[np.uint8] | None]:
        found: list[NDArray[np.uint8] | None] = []
        for key in keys:
            at = self._where.get(key)
            found.append(None if at is None else self._parts[at[0] & 255][at[0] >> 8 : at[1]])
        return found


def write_part(
    folder: Path,
    table: Table,
    column: str,
    wanted: Callable[[int, Sequence[Media]], Iterable[int]],
    rows: NDArray[np.int64],
    decode: Decode,
    part: int,
    *,
    threads: int = 1,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Decode the wanted media of `rows` into part `part` of the store in `folder`; the number that could not be read.

    `wanted` names the indices to keep of a row's media. Written beside and renamed when whole, so a killed writer leaves nothing half.
    """
    folder.mkdir(parents=True, exist_ok=True)
    entries: list[tuple[int, int, int, int]] = []
    failed, at = 0, 0
    temporary = folder / f"{column}.{part}.bin.tmp"
    # Each sound's spectrum is a small product: BLAS threads on it would only fight ours, and those of the other processes.
    with temporary.open("wb") as file, ThreadPoolExecutor(threads) as pool, threadpool_limits(1, "blas"):
        for begin in range(0, len(rows), 128):
            chunk = rows[begin : begin + 128]
            keys: list[Key] = []
            media: list[Media] = []
            for row, record in zip(chunk.tolist(), table.records(chunk, columns=["id", column]), strict=True):
                for index in wanted(row, getattr(record, column)):
                    keys.append((row, index))
                    media.append(getattr(record, column)[index])
            for key, array in zip(keys, pool.map(lambda m: _decode(table, m, decode), media), strict=True):
                if array is None:
                    failed += 1
                    continue
                file.write(np.ascontiguousarray(array).data)
                entries.append((*key, at, at + len(array)))
                at += len(array)
            if progress:
                progress(len(chunk))
    np.save(folder / f"{column}.{part}.npy", np.array(entries, np.int64).reshape(-1, 4), allow_pickle=False)
    os.replace(temporary, folder / f"{column}.{part}.bin")
    return failed


def seal(folder: Path, column: str, shape: Sequence[int], parts: int) -> None:
    """Declare the store whole: called once, after every part was written."""
    temporary = folder / f"{column}.json.tmp"
    temporary.write_text(json.dumps({"shape": list(shape), "parts": parts}), encoding="utf8")
    os.replace(temporary, folder / f"{column}.json")


def _decode(table: Table, medium: Media, decode: Decode) -> NDArray[np.uint8] | None:
    try:
        return decode(table.read(medium))
    except (MediaError, DataError):
        return None
