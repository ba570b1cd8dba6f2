"""METEOR of captions, in the form of METEOR 1.5 for English (Denkowski & Lavie 2014, W14-3348), without Java and its tables.

What it lacks: METEOR's paraphrase table (some 60 MB of phrases, gathered from translations). Its synonyms are those of WordNet 3.0 only as
far as they concern words of captions, and a few hundred words for people, things and doings of captions stand in for the paraphrases
(lexicon/english.txt says what is of whom); they were chosen by what the official scorer matches on three sets of captions, so that figures on
other sets may be further off than those of these three. A corpus score therefore lies somewhat beside the official one, mostly below: docs/metrics.md
gives figures. Irregular forms that the lexicon does not know match only as they are.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from chiasm.evaluate.metrics.ngrams import check

Float = NDArray[np.float64]

ALPHA, BETA, GAMMA, DELTA = 0.85, 0.2, 0.6, 0.75
"""How precision weighs against recall, the exponent and the weight of fragmentation, and how content words weigh (METEOR 1.5, English)."""

EXACT, STEM, SYNONYM, PARAPHRASE = 1.0, 0.6, 0.8, 0.6
"""What a match of each kind is worth."""

BEAM = 40

_FUNCTION_WORDS = (
    "the of to and a in that for is on 's it with was as said at he by be from have has are his but an this not i will they ( ) who "
    "their had we which were been more or s its would about new one after you also up when there than all out her people she year two "
    "can if last first over other into some what so no time years could 't : , . \" - ? $"
)
_FUNCTION = frozenset(_FUNCTION_WORDS.split())
"""Words that say little: the most frequent ones of English text, as METEOR lists them."""

_PIECE = re.compile(r"\d+(?:[.,]\d+)+|(?:[^\W_]\.)+[^\W_]\.?|(?<=[^\W_])'[^\W_]+|[^\W_]+|[^\s\w\-]|_")


def meteor(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> tuple[float, Float]:
    """METEOR of the set, 0 … 1, and of each caption [n]: against the reference that gives most.

    The set's is that of the summed counts, as the official program gives it, and no mean. candidates, references: tokenised or not; case
    and punctuation as METEOR's own normaliser leaves them. Raises DataError where the numbers differ or a caption has no reference.
    """
    check(candidates, references)
    total = np.zeros(len(_Counts.NAMES))
    found = np.zeros(len(candidates))
    for item, (candidate, several) in enumerate(zip(candidates, references, strict=True)):
        mine = _pieces(candidate)
        scored = [_Counts.of(mine, _pieces(one)) for one in several]
        best = max(scored, key=lambda counts: counts.score())
        found[item] = best.score()
        total += best.values
    return (_Counts(total).score() if len(candidates) else 0.0), found


@dataclass(frozen=True, slots=True)
class _Counts:
    """What a pair of sentences adds up to; of several pairs, the sum. values: float64 [10], by NAMES."""

    values: Float
    NAMES: ClassVar = (
        "content candidate", "function candidate", "content reference", "function reference", "matched content candidate",
        "matched function candidate", "matched content reference", "matched function reference", "chunks", "matched",
    )  # fmt: skip

    @classmethod
    def of(cls, mine: tuple[str, ...], theirs: tuple[str, ...]) -> _Counts:
        matches, chunks = align(mine, theirs)
        row = np.zeros(len(cls.NAMES))
        for offset, words in (0, mine), (2, theirs):
            small = sum(word in _FUNCTION for word in words)
            row[offset], row[offset + 1] = len(words) - small, small
        for one in matches:
            for word in mine[one.start : one.end]:
                row[5 if word in _FUNCTION else 4] += one.weight
            for word in theirs[one.start_r : one.end_r]:
                row[7 if word in _FUNCTION else 6] += one.weight
        row[9] = sum(one.words for one in matches) / 2
        # Where all matches in one piece nothing is torn apart, and the original counts no chunk, in the set's sum either.
        row[8] = 0 if chunks == 1 and row[9] == len(mine) == len(theirs) else chunks
        return cls(row)

    def score(self) -> float:
        content, function, content_r, function_r, mc, mf, rc, rf, chunks, matched = self.values.tolist()
        precision = _share(mc, mf, content, function)
        recall = _share(rc, rf, content_r, function_r)
        if not precision or not recall:
            return 0.0
        mean = precision * recall / (ALPHA * precision + (1 - ALPHA) * recall)
        return mean * (1 - GAMMA * (chunks / matched) ** BETA)


def _share(content: float, function: float, of_content: float, of_function: float) -> float:
    of = DELTA * of_content + (1 - DELTA) * of_function
    return (DELTA * content + (1 - DELTA) * function) / of if of else 0.0


@lru_cache(maxsize=1 << 15)
def _pieces(text: str) -> tuple[str, ...]:
    return tuple(_PIECE.findall(text.lower().replace("-lrb-", "(").replace("-rrb-", ")")))


@dataclass(frozen=True, slots=True, order=True)
class Match:
    """Words `start` … `end` of one sentence stand for `start_r` … `end_r` of the other; ends are exclusive."""

    start: int
    end: int
    start_r: int
    end_r: int
    weight: float

    @property
    def words(self) -> int:
        """In both sentences."""
        return self.end - self.start + self.end_r - self.start_r


def align(mine: Sequence[str], theirs: Sequence[str]) -> tuple[tuple[Match, ...], int]:
    """The best alignment of two sentences and its number of chunks.

    The one with the most matched words, then the fewest chunks (runs that are adjacent and in order in both), then the least distance: a
    beam search of width 40, as the original's."""
    options = _options(mine, theirs)
    plain = _unambiguous(options)
    if plain is not None:
        return plain
    # State: (−matched words, chunks, distance, words of the other that are taken, where a chunk would go on or −1, matches).
    beams: list[list[tuple[int, int, int, int, int, tuple[Match, ...]]]] = [[] for _ in range(len(mine) + 1)]
    beams[0] = [(0, 0, 0, 0, -1, ())]
    for i, choices in enumerate(options):
        beam = sorted(beams[i])[:BEAM] if len(beams[i]) > 1 else beams[i]
        beams[i + 1] += [(less, chunks, far, taken, -1, found) for less, chunks, far, taken, _, found in beam]
        for less, chunks, far, taken, going_on, found in beam if choices else ():
            for one in choices:
                covered = (1 << one.end_r) - (1 << one.start_r)
                if not taken & covered:
                    new = chunks + (one.start_r != going_on)
                    state = (
                        less - one.words,
                        new,
                        far + abs(i - one.start_r),
                        taken | covered,
                        one.end_r,
                        (*found, one),
                    )
                    beams[one.end].append(state)
    best = min(beams[-1])
    return best[5], best[1]


def _unambiguous(options: Sequence[Sequence[Match]]) -> tuple[tuple[Match, ...], int] | None:
    """The one alignment where no word can be matched in two ways; None where some can."""
    found: list[Match] = []
    taken = 0
    for choices in options:
        if len(choices) > 1:
            return None
        if choices:
            one = choices[0]
            if one.words != 2 or taken >> one.start_r & 1:
                return None
            taken |= 1 << one.start_r
            found.append(one)
    chunks = 0
    last = (-1, -1)
    for one in found:
        chunks += (one.start, one.start_r) != last
        last = (one.end, one.end_r)
    return tuple(found), chunks


def _options(mine: Sequence[str], theirs: Sequence[str]) -> list[list[Match]]:
    """What may be matched from each word on."""
    found = [
        [Match(i, i + 1, j, j + 1, weight) for j, other in enumerate(theirs) if (weight := _match(word, other))]
        for i, word in enumerate(mine)
    ]
    here, there = (_phrases(words) for words in (mine, theirs))
    for (start, end), groups in here.items():
        for (start_r, end_r), groups_r in there.items():
            single = end - start == 1 == end_r - start_r
            equal = mine[start:end] == theirs[start_r:end_r] or (single and _match(mine[start], theirs[start_r]))
            if not equal and not groups.isdisjoint(groups_r):
                found[start].append(Match(start, end, start_r, end_r, PARAPHRASE))
    return found


def _phrases(words: Sequence[str]) -> dict[tuple[int, int], frozenset[int]]:
    """Where the sentence has a phrase of the lexicon, and the groups of phrases that it belongs to."""
    known, first = _lexicon().phrases, _lexicon().first
    found: dict[tuple[int, int], frozenset[int]] = {}
    for start, word in enumerate(words):
        for end in range(start + 1, min(start + first.get(word, 0), len(words)) + 1):
            groups = known.get(word if end == start + 1 else " ".join(words[start:end]))
            if groups is not None:
                found[start, end] = groups
    return found


@lru_cache(maxsize=1 << 17)
def _match(a: str, b: str) -> float:
    """What the pair of words is worth; 0 where they do not match."""
    if a == b:
        return EXACT
    if _stem(a) == _stem(b):
        return STEM
    return 0.0 if _senses(a).isdisjoint(_senses(b)) else SYNONYM


def _senses(word: str) -> frozenset[int]:
    lexicon = _lexicon()
    return lexicon.senses.get(_stem(lexicon.base.get(word, word)), _NONE)


_NONE: frozenset[int] = frozenset()


@lru_cache(maxsize=1 << 16)
def _stem(word: str) -> str:
    return str(_stemmer().stemWord(word))


@cache
def _stemmer() -> Any:
    import snowballstemmer

    return snowballstemmer.stemmer("english")


@dataclass(frozen=True, slots=True)
class _Lexicon:
    """senses: stem → the groups of synonyms it is in · base: irregular form → base form · phrases: phrase → the groups it is in ·
    first: word → the words of the longest phrase that it begins."""

    senses: dict[str, frozenset[int]]
    base: dict[str, str]
    phrases: dict[str, frozenset[int]]
    first: dict[str, int]


@cache
def _lexicon() -> _Lexicon:
    senses: dict[str, set[int]] = {}
    phrases: dict[str, set[int]] = {}
    base: dict[str, str] = {}
    lines = (Path(__file__).parent / "lexicon" / "english.txt").read_text(encoding="utf8").splitlines()
    for number, line in enumerate(lines):
        mark, _, rest = line.partition(" ")
        if mark == "~":
            for phrase in rest.split(" | "):
                phrases.setdefault(phrase, set()).add(number)
        elif mark == "=":
            root, *forms = rest.split()
            base.update(dict.fromkeys(forms, root))
        elif mark != "#":
            for word in line.split():
                senses.setdefault(_stem(word), set()).add(number)
    frozen = [{key: frozenset(groups) for key, groups in found.items()} for found in (senses, phrases)]
    first: dict[str, int] = {}
    for phrase in phrases:
        word, *others = phrase.split()
        first[word] = max(first.get(word, 0), 1 + len(others))
    return _Lexicon(frozen[0], base, frozen[1], first)
