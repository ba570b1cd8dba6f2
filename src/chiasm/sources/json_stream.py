"""A large JSON file read piece by piece: `{"info": …, "images": [ {…}, {…} ], "annotations": [ … ]}` as its items, one in memory at a time."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import IO, Any

from chiasm.errors import MediaError
from chiasm.sources.listing import Listing

MAX_ITEM = 16 * 2**20
"""Characters of one item: a crowd's outline is a thousandth of it."""

_CHUNK = 2**18
_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()


def json_items(files: Listing, path: str) -> Iterator[tuple[str, Any]]:
    """(key, item) of each item of each list at the top of the file, (key, value) of what is no list; of a file that is one list, ("", item).

    Raises MediaError ``malformed`` (with the number of the item), ``encoding``, ``too_long`` (an item above MAX_ITEM), and OSError.
    What came before the damage has been given.
    """
    with files.open(path) as file:
        reader = _Reader(file, path)
        if reader.peek() == "[":
            yield from (("", item) for item in reader.array())
            return
        reader.expect("{")
        while reader.peek() != "}":
            key = reader.value()
            if not isinstance(key, str):
                reader.fail("a key that is no string")
            reader.expect(":")
            if reader.peek() == "[":
                for item in reader.array():
                    yield key, item
            else:
                yield key, reader.value()
            if reader.peek() != "}":
                reader.expect(",")


class _Reader:
    def __init__(self, file: IO[bytes], name: str) -> None:
        self._file, self._name = file, name
        self._decode = codecs.getincrementaldecoder("utf-8-sig")()
        self._buffer, self._at, self._ended, self._count = "", 0, False, 0

    def fail(self, what: str, reason: str = "malformed") -> None:
        raise MediaError(reason, f"{self._name}: after item {self._count:,}: {what}")

    def peek(self) -> str:
        """The next character that is no white space."""
        while True:
            found = _SPACE.match(self._buffer, self._at)
            self._at = found.end() if found else self._at
            if self._at < len(self._buffer):
                return self._buffer[self._at]
            if not self._more(_CHUNK):
                self.fail("it ends early")

    def expect(self, character: str) -> None:
        if self.peek() != character:
            self.fail(f"expected {character!r}, found {self._buffer[self._at]!r}")
        self._at += 1

    def array(self) -> Iterator[Any]:
        self.expect("[")
        while self.peek() != "]":
            yield self.value()
            self._count += 1
            if self.peek() != "]":
                self.expect(",")
        self.expect("]")

    def value(self) -> Any:
        self.peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._buffer, self._at)
                # A number at the end of what was read may go on.
                if end < len(self._buffer) or self._ended:
                    self._at = end
                    return value
            except RecursionError:
                self.fail("nested too deeply")
            except ValueError as error:
                if self._ended:
                    self.fail(f"not JSON: {error.args[0].split(': line')[0]}")
            if len(self._buffer) - self._at > MAX_ITEM:
                self.fail(f"more than {MAX_ITEM:,} characters in one item", "too_long")
            # Doubling: an item of many chunks is not tried anew for each.
            self._more(max(_CHUNK, len(self._buffer) - self._at))

    def _more(self, size: int) -> bool:
        data = self._file.read(size)
        try:
            text = self._decode.decode(data, final=not data)
        except UnicodeDecodeError as error:
            self.fail(f"not UTF-8: {error.reason}", "encoding")
            raise
        self._ended = not data
        self._buffer, self._at = self._buffer[self._at :] + text, 0
        return bool(data)
