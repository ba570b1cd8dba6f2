"""Rows that are not sure to be copies, and must not lie in two splits all the same.

Nothing is lost by a tie, so that less is asked for one than for a removal; but ties are chained into groups, and what everybody shares, such as
the name of a class, would chain a whole table into one. Therefore a text ties only the few that share it, and no likeness makes a group grow
beyond a share of the rows.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import pairwise

from chiasm.dataset.joining import SHARED_TEXT
from chiasm.dataset.step import Sheet

SHARE = 0.01
"""Of all rows, what likenesses join at most into one group; SHARED_TEXT rows where that is more."""
_ACCENTS = dict.fromkeys(range(0x300, 0x370))  # combining diacritical marks: those of other scripts are letters

Pair = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Ties:
    """pairs: of rows to be kept in one split, in order · left_out: likenesses that would have made a group too large · largest: rows of the
    largest group that `pairs` and what was joined already make."""

    pairs: list[Pair]
    left_out: int
    largest: int


def bare_text(text: str) -> str:
    """The letters and digits of `text`, without case, accents, punctuation and spaces; the text itself where it has none."""
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold()).translate(_ACCENTS)
    return "".join(character for character in folded if unicodedata.category(character)[0] in "LMN") or text


def same_text(sheet: Sheet) -> list[Pair]:
    """Pairs of rows (positions, i < j) of which all texts are the same but for case, accents, punctuation and spaces, where no more than SHARED_TEXT
    rows share them: each with the next, so that one whose group is full keeps no others apart. More share what is no copied caption, but the
    name of a class or of a collection."""
    sharing: dict[bytes, list[int]] = defaultdict(list)
    for place, (_, record) in enumerate(sheet.records(columns=["texts"])):
        if record.texts:
            bare = "\0".join(sorted({bare_text(text.text) for text in record.texts}))
            sharing[blake2b(bare.encode(), digest_size=16).digest()].append(place)
    return [pair for rows in sharing.values() if len(rows) <= SHARED_TEXT for pair in pairwise(rows)]


def tie(strong: Iterable[Pair], weak: Sequence[Pair], count: int, joined: Iterable[Pair] = ()) -> Ties:
    """All `strong` pairs, and of the `weak` ones, in their order, those that keep every group of the `count` rows small (SHARE). joined: pairs that
    are in one group whatever is tied, such as those of a group of the source's."""
    limit = max(SHARED_TEXT, int(SHARE * count))
    parent, size = list(range(count)), [1] * count

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    def unite(a: int, b: int) -> None:
        if a != b:
            parent[max(a, b)] = min(a, b)
            size[min(a, b)] += size[max(a, b)]

    for i, j in joined:
        unite(root(i), root(j))
    kept: set[Pair] = set()
    left_out = 0
    certain = sorted(set(strong))
    for place, (i, j) in enumerate([*certain, *dict.fromkeys(weak)]):
        a, b = root(i), root(j)
        if a != b and place >= len(certain) and size[a] + size[b] > limit:
            left_out += 1
            continue
        kept.add((i, j))
        unite(a, b)
    return Ties(sorted(kept), left_out, max((size[root(i)] for i, _ in kept), default=1))
