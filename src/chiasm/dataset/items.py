"""What the rows of a data set hold, as items that are equal or nearly the same, and which rows are alike by them."""

# pyright: reportUnknownParameterType=false
# pyarrow ships no types.
from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from chiasm.dataset.near import as_words
from chiasm.dataset.split import Key

CROWD = 100
"""Items of one signature that are compared with each other; of more, each is compared with the first. Copies are few; what is many is a blank,
a class name, a jingle."""


@dataclass(frozen=True, slots=True)
class Items:
    """One modality's items of all rows; of texts, a row has one: all of them together.

    kind: int64 [items], equal where the contents are · owner: int64 [items], the row's position · place: int64 [items], which of the row's it is ·
    near: how two kinds (smaller first) that are nearly the same are alike · like: kinds that may be copies or variants, and are not sure to be.
    """

    kind: NDArray[np.int64]
    owner: NDArray[np.int64]
    place: NDArray[np.int64]
    near: dict[tuple[int, int], str] = field(default_factory=dict[tuple[int, int], str])
    like: set[tuple[int, int]] = field(default_factory=set[tuple[int, int]])


def content_digests(keys: Sequence[Key]) -> dict[str, list[list[str]]]:
    """The digests of each row's pictures, and of its sounds and then clips. Of a picture's two, of bytes and of pixels, the second counts."""
    found: dict[str, list[list[str]]] = {"image": [], "other": []}
    for key in keys:
        pictures = [digest for digest in key.contents if digest.startswith("pixels:")]
        following = (*key.contents, "")[1:]
        others = [
            digest
            for digest, after in zip(key.contents, following, strict=True)
            if digest.startswith("bytes:") and not after.startswith("pixels:")
        ]
        found["image"].append(pictures)
        found["other"].append(others)
    return found


def media_items(measures: pa.Table, modality: str, digests: list[list[str]]) -> tuple[Items, NDArray[np.uint64]]:
    """The modality's items, and their signatures uint64 [items, W]."""
    hashes: list[list[bytes]] = [found or [] for found in measures.column(f"{modality}_hash").to_pylist()]
    names: list[str] = []
    owner: list[int] = []
    place: list[int] = []
    for row, (found, known) in enumerate(zip(hashes, digests, strict=True)):
        # A sound track that was taken out of a clip has no digest of its own; clips come after sounds (clean.py).
        mine = known[-len(found) :] if modality == "video" else known[: len(found)] if len(known) >= len(found) else []
        if modality == "audio" and len(found) and len(measures.column("video_hash")[row].as_py() or ()) == len(known):
            mine = []
        for at in range(len(found)):
            names.append(mine[at] if at < len(mine) else f"{row}:{at}")
            owner.append(row)
            place.append(at)
    numbered: dict[str, int] = {}
    kinds = [numbered.setdefault(name, len(numbered)) for name in names]
    items = Items(np.array(kinds, np.int64), np.array(owner, np.int64), np.array(place, np.int64))
    return items, as_words([one for found in hashes for one in found])


def text_items(measures: pa.Table) -> Items:
    """One item a row that has texts: the set of them, word for word."""
    numbered: dict[frozenset[int], int] = {}
    digests = measures.column("text_digest").to_pylist()
    owner = np.array([row for row, found in enumerate(digests) if found], np.int64)
    kinds = [numbered.setdefault(frozenset(digests[row]), len(numbered)) for row in owner.tolist()]
    return Items(np.array(kinds, np.int64), owner, np.zeros(len(owner), np.int64))


def alike(items: Items, left: Sequence[int], right: Sequence[int]) -> str | None:
    """How two rows' items (kinds) agree: "" exactly, in words where nearly, None where neither row has the like of everything in the other."""
    worst: list[str] = []
    matched = [0, 0]
    for side, (some, others) in enumerate(((left, right), (right, left))):
        for a in some:
            how = (
                ""
                if a in others
                else next((items.near[pair] for b in others if (pair := (min(a, b), max(a, b))) in items.near), None)
            )
            if how is not None:
                matched[side] += 1
                worst.append(how)
    if matched[0] < len(left) and matched[1] < len(right):
        return None
    return max(worst)


def row_pairs(items: Items) -> set[tuple[int, int]]:
    """Pairs of rows (positions, i < j) that share an item or have items that are nearly the same."""
    found = _between(items, items.near)
    for rows in _members(items).values():
        some = rows.tolist()
        first = some[: CROWD if len(some) <= CROWD else 1]
        found |= {(i, j) for at, i in enumerate(first) for j in some[at + 1 :] if i != j}
    return {(min(i, j), max(i, j)) for i, j in found}


def like_pairs(items: Items) -> set[tuple[int, int]]:
    """Pairs of rows (positions, i < j) with items that are `like` each other."""
    return _between(items, items.like)


def _members(items: Items) -> dict[int, NDArray[np.int64]]:
    """The rows that hold each kind, in order."""
    if not len(items.kind):
        return {}
    order = np.argsort(items.kind, kind="stable")
    kinds, first = np.unique(items.kind[order], return_index=True)
    return dict(zip(kinds.tolist(), np.split(items.owner[order], first[1:]), strict=True))


def _between(items: Items, kinds: Iterable[tuple[int, int]]) -> set[tuple[int, int]]:
    members = _members(items)
    return {
        (min(i, j), max(i, j))
        for a, b in kinds
        for i in members[a][:CROWD].tolist()
        for j in members[b][:CROWD].tolist()
        if i != j
    }
