"""N-grams of captions as sorted integer tables: what BLEU and CIDEr count.

Legend: n captions to be judged · S sentences, the n captions first and then the references, item after item · G different n-grams of one
order · K distinct (sentence, n-gram) pairs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chiasm.errors import DataError

Ints = NDArray[np.int64]

ORDERS = 4
"""Words of the longest n-gram."""


@dataclass(frozen=True, slots=True)
class Grams:
    """The n-grams of one order. sentence, gram, count: int64 [K], sorted by sentence and then n-gram; grams: G."""

    sentence: Ints
    gram: Ints
    count: Ints
    grams: int


@dataclass(frozen=True, slots=True)
class Sentences:
    """length: int64 [S], words of each · item: int64 [S], the caption that it is, or is a reference of · first: where each item's
    references begin, and where the last ones end, [n + 1], counted from the first reference."""

    words: Ints
    length: Ints
    item: Ints
    first: Ints

    @property
    def captions(self) -> int:
        return len(self.first) - 1

    def orders(self) -> Iterator[Grams]:
        """The n-grams of one word, of two, … of ORDERS."""
        sentence = np.repeat(np.arange(len(self.length)), self.length)
        remaining = np.repeat(np.cumsum(self.length), self.length) - np.arange(
            len(self.words)
        )  # words from here to the sentence's end
        gram = self.words
        size = int(gram.max(initial=-1)) + 1
        for order in range(1, ORDERS + 1):
            if order > 1:
                # A longer n-gram is the shorter one and the word behind it; numbered anew, so that no product overflows.
                longer = remaining >= order
                place = np.flatnonzero(longer)
                pair = gram[place] * (int(self.words.max(initial=-1)) + 1) + self.words[place + order - 1]
                _, numbered = np.unique(pair, return_inverse=True)
                gram = np.zeros(len(self.words), dtype=np.int64)
                gram[place] = numbered
                size = int(numbered.max(initial=-1)) + 1
            there = remaining >= order
            pairs, count = np.unique(sentence[there] * max(size, 1) + gram[there], return_counts=True)
            yield Grams(pairs // max(size, 1), pairs % max(size, 1), count, size)


def sentences(candidates: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]) -> Sentences:
    """candidates: n captions, each its words; references: n lists of captions.

    Raises DataError where the numbers differ or a caption has no reference.
    """
    check(candidates, references)
    counts = np.array([len(several) for several in references], dtype=np.int64)
    every = [*candidates, *(one for several in references for one in several)]
    length = np.array([len(one) for one in every], dtype=np.int64)
    number: dict[str, int] = {}
    words = np.array([number.setdefault(word, len(number)) for one in every for word in one], dtype=np.int64)
    item = np.concatenate([np.arange(len(candidates)), np.repeat(np.arange(len(candidates)), counts)])
    return Sentences(words, length, item, np.concatenate([[0], np.cumsum(counts)]))


def check(candidates: Sequence[object], references: Sequence[Sequence[object]]) -> None:
    """Raises DataError where the numbers differ or a caption has no reference."""
    if len(candidates) != len(references):
        raise DataError(f"{len(candidates)} captions and references of {len(references)}: give each its own")
    for place, several in enumerate(references):
        if not several:
            raise DataError(f"caption {place} has no reference: nothing to compare it with")


def found_at(keys: Ints, wanted: Ints) -> tuple[Ints, NDArray[np.bool_]]:
    """Where each of `wanted` stands in the sorted `keys`, and whether it does at all."""
    if not len(keys):
        return np.zeros(len(wanted), dtype=np.int64), np.zeros(len(wanted), dtype=bool)
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return place, keys[place] == wanted
