"""Which rows are one group: those of equal content, of one group of the source's, and those that a step tied."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

SHARED_TEXT = 20
"""A text that more records than this share is the name of a class and not a copied caption: it ties nothing
together.
"""


@dataclass(frozen=True, slots=True)
class Key:
    """What the split needs to know of a record. contents: a digest for each medium (its bytes, its pixels)
    and its single text.
    """

    id: str
    group: str | None = None
    split: str | None = None
    contents: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rows:
    """What joining needs of keys, read once: ids, groups and splits of the rows, and equal, int64 [pairs, 2]: rows of equal content, each with the
    first of them."""

    ids: list[str]
    groups: list[str | None]
    splits: list[str | None]
    equal: NDArray[np.int64]

    @classmethod
    def of(cls, keys: Sequence[Key]) -> Rows:
        ids: list[str] = []
        groups: list[str | None] = []
        splits: list[str | None] = []

        def marks() -> Iterator[tuple[int, int, bool]]:
            for row, key in enumerate(keys):
                ids.append(key.id)
                groups.append(key.group)
                splits.append(key.split)
                for content in key.contents:
                    yield _number(content), row, content.startswith("text:")

        # Digests as numbers: of 10⁷ different ones, two are alike by chance once in 400,000 builds.
        found = np.fromiter(marks(), [("digest", np.uint64), ("row", np.int64), ("text", np.bool_)])
        return cls(ids, groups, splits, _equal(found))

    def join(self, *, by_group: bool, tied: Sequence[tuple[int, int]] = ()) -> list[str]:
        """The name of each row's connected component: equal content joins rows, pairs that are `tied` are joined, and with `by_group`
        equal groups do too.

        A component is named after its first group in alphabetical order, or its first id where none has a
        group. (Union-find, over the rows that are joined at all.)
        """
        parent: dict[int, int] = {}

        def root(row: int) -> int:
            while (up := parent.get(row, row)) != row:
                parent[row] = parent.get(up, up)
                row = up
            return row

        def unite(one: int, other: int) -> None:
            a, b = root(one), root(other)
            if a != b:
                parent[max(a, b)] = min(a, b)

        for one, other in self.equal.tolist():
            unite(one, other)
        for one, other in tied:
            unite(one, other)
        if by_group:
            first: dict[str, int] = {}
            for row, group in enumerate(self.groups):
                if group is not None:
                    unite(first.setdefault(group, row), row)
        own = [
            group if by_group and group is not None else key for key, group in zip(self.ids, self.groups, strict=True)
        ]
        names: dict[int, tuple[bool, str]] = {}
        joined = sorted({*parent, *(root(row) for row in list(parent))})
        for row in joined:
            name, where = (not by_group or self.groups[row] is None, own[row]), root(row)
            names[where] = min(names.get(where, name), name)
        for row in joined:
            own[row] = names[root(row)][1]
        return own


def _equal(marks: NDArray[np.void]) -> NDArray[np.int64]:
    """Pairs of the first row that holds a digest and each other that does; not of texts that more than SHARED_TEXT rows hold."""
    marks = marks[np.lexsort((marks["row"], marks["digest"]))]
    again = (marks["digest"][1:] == marks["digest"][:-1]) & (marks["row"][1:] == marks["row"][:-1])
    marks = marks[np.append(True, ~again)[: len(marks)]]  # a digest that a row has twice counts once
    new = np.append(True, marks["digest"][1:] != marks["digest"][:-1])[: len(marks)]
    starts = np.flatnonzero(new)
    counts = np.diff(np.append(starts, len(marks)))
    first, count = np.repeat(starts, counts), np.repeat(counts, counts)
    joins = ~new & ~(marks["text"] & (count > SHARED_TEXT))
    return np.stack([marks["row"][first[joins]], marks["row"][joins]], axis=1)


def _number(content: str) -> int:
    digest = blake2b(content.encode("utf8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little")
