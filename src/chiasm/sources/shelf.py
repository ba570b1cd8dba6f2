"""A mapping from keys to lists of rows, on disk where it outgrows memory: annotations come in one order, and pictures in another."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from typing import Any

from chiasm.errors import MachineError


class Shelf:
    """Rows (JSON values) put under (kind, key), and given back in the order in which they were put."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._indexed = False
        connection.execute("PRAGMA journal_mode=OFF")
        connection.execute("BEGIN")  # else each row is a transaction
        connection.execute("CREATE TABLE shelf (kind TEXT, key TEXT, value TEXT)")

    def put(self, kind: str, key: object, value: Any) -> None:
        self._connection.execute("INSERT INTO shelf VALUES (?, ?, ?)", (kind, _written(key), json.dumps(value)))

    def get(self, kind: str, key: object) -> list[Any]:
        """All that was put under the key; call it when all is put."""
        self._index()
        query = "SELECT value FROM shelf WHERE kind = ? AND key = ? ORDER BY rowid"
        return [json.loads(value) for (value,) in self._connection.execute(query, (kind, _written(key)))]

    def keys(self, kind: str, without: str = "") -> Iterator[str]:
        """Each key once, in the order of first appearance; but those that have rows of the kind `without`."""
        self._index()
        query = (
            "SELECT key FROM shelf WHERE kind = ? AND NOT EXISTS (SELECT 1 FROM shelf AS other WHERE other.kind = ? AND other.key = shelf.key)"
            " GROUP BY key ORDER BY min(rowid)"
        )
        for (key,) in self._connection.execute(query, (kind, without)):
            yield json.loads(key)

    def _index(self) -> None:
        if not self._indexed:
            self._connection.execute("CREATE INDEX by_key ON shelf (kind, key)")
            self._indexed = True


def _written(key: object) -> str:
    """As JSON: half a surrogate pair, which JSON may hold, is no text to SQLite."""
    return json.dumps(str(key))


@contextmanager
def shelf() -> Generator[Shelf]:
    """An empty shelf, gone when it is closed. MachineError where the disk for temporary files is full."""
    # "" is SQLite's name for a private database of its own: in memory while it is small, then in a file that nobody else sees.
    with closing(sqlite3.connect("", check_same_thread=False, isolation_level=None)) as connection:
        try:
            yield Shelf(connection)
        except sqlite3.OperationalError as error:
            raise MachineError(f"the folder for temporary files: {error}; name another in TMPDIR") from None
