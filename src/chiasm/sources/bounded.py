"""Files of unknown origin, opened so that what comes out of them is bounded: plain, .gz, .bz2 and .xz."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from chiasm.errors import MediaError

EXPANSION, ALLOWANCE = 100, 64 * 2**20
"""A compressed file may give so many times its own bytes, and so many more; text comes to about 10 times."""

_Packed = gzip.GzipFile | bz2.BZ2File | lzma.LZMAFile

_OPENERS: dict[bytes, Callable[[IO[bytes]], _Packed]] = {
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\x00": lzma.LZMAFile,
}
"""By the file's first bytes, never by its name. (No Zstandard: Python 3.11 has none.)"""


def allowed(size: int) -> int:
    """The most bytes that a compressed file of `size` bytes may give."""
    return EXPANSION * size + ALLOWANCE


class _Capped(io.RawIOBase):
    """A stream that gives at most `limit` bytes and ends where it breaks off. Why it ended early is in `failure`: ``too_large``,
    ``truncated`` or ``corrupt``.
    """

    def __init__(self, file: _Packed, limit: int, name: str) -> None:
        self._file, self._left, self._limit, self._name = file, limit, limit, name
        self.failure: MediaError | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self.failure is not None:
            return 0
        data = b""
        try:
            data = self._file.read1(len(buffer))  # what there is: `read` would lose what comes before the damage
        except EOFError:
            self.failure = MediaError("truncated", f"{self._name}: it ends before its compressed data do")
        except (OSError, zlib.error, lzma.LZMAError) as error:
            self.failure = MediaError("corrupt", f"{self._name}: cannot be read on: {error}")
        if len(data) > self._left:
            data = data[: self._left]
            self.failure = MediaError(
                "too_large", f"{self._name}: gives more than {self._limit:,} bytes; reading stopped there"
            )
        self._left -= len(data)
        buffer[: len(data)] = data
        return len(data)


@contextmanager
def open_bounded(path: Path) -> Generator[IO[bytes]]:
    """The content of `path`, decompressed where it is compressed. A compressed file that breaks off, is damaged or goes on beyond `allowed`
    seems to end there; on leaving, MediaError ``truncated``, ``corrupt`` or ``too_large`` says so, before any error of the reader's. Raises
    OSError where it cannot be opened.
    """
    with path.open("rb") as plain:
        opener = _opener(plain)
        if opener is None:
            yield plain
            return
        with opener(plain) as file:
            capped = _Capped(file, allowed(path.stat().st_size), path.name)
            with io.BufferedReader(capped, 2**16) as reader:
                try:
                    yield reader
                except Exception:
                    if capped.failure is not None:
                        raise capped.failure from None
                    raise
            if capped.failure is not None:
                raise capped.failure


def is_packed(path: Path) -> bool:
    """Whether the file is compressed in one of the known ways."""
    with path.open("rb") as file:
        return _opener(file) is not None


def _opener(file: IO[bytes]) -> Callable[[IO[bytes]], _Packed] | None:
    head = file.read(6)
    file.seek(0)
    return next((opener for magic, opener in _OPENERS.items() if head.startswith(magic)), None)
