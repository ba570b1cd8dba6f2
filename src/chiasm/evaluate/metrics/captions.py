"""Captions against references: BLEU, ROUGE-L, CIDEr, CIDEr-D, figure for figure as pycocoevalcap 1.2 (coco-caption) gives them.

All take captions that are tokenised, words parted by spaces: `ptb.coco_tokenised` makes them from English. METEOR: meteor.py.
Legend: n captions · R references of one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chiasm.evaluate.metrics.ngrams import ORDERS, Grams, Sentences, check, found_at, sentences
from chiasm.evaluate.metrics.ptb import coco_tokenised
from chiasm.evaluate.metrics.texts import words

Float = NDArray[np.float64]

ROUGE_BETA = 1.2
CIDER_SIGMA = 6.0
_SMALL, _TINY = 1e-9, 1e-15


@dataclass(frozen=True, slots=True)
class CaptionScores:
    """corpus: the figures of the set; items: those of each caption, [n]. By name: bleu_1 … bleu_4, rouge_l, cider, cider_d, meteor."""

    corpus: dict[str, float]
    items: dict[str, Float]


def tokenised(
    candidates: Sequence[str], references: Sequence[Sequence[str]], language: str = "en"
) -> tuple[list[str], list[list[str]]]:
    """Captions and references as the metrics compare them: English (and what is not named) as coco-caption does; zh and ja by characters.

    Chinese or Japanese in words of a user's choice: part them by spaces, and do not come here."""
    flat = [one for several in references for one in several]
    if language in ("zh", "ja"):
        mine, theirs = ([" ".join(words(one)) for one in side] for side in (candidates, flat))
    else:
        mine, theirs = coco_tokenised(candidates), coco_tokenised(flat)
    found = iter(theirs)
    return mine, [[next(found) for _ in several] for several in references]


def caption_scores(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> CaptionScores:
    """BLEU-1 … 4, ROUGE-L, CIDEr and CIDEr-D of n tokenised captions, each with one or more references.

    `cider` is what pycocoevalcap prints under that name, which with its clipping and its length penalty is CIDEr-D: the two are equal
    here (`plain_cider` is CIDEr without them). Raises DataError where the numbers differ or a caption has no reference.
    """
    table = sentences([one.split() for one in candidates], [[one.split() for one in several] for several in references])
    grams = list(table.orders())
    bleu_corpus, bleu_items = _bleu(table, grams)
    rouge = rouge_l(candidates, references)
    consensus = _cider(table, grams, penalised=True)
    items = {f"bleu_{order + 1}": bleu_items[:, order] for order in range(ORDERS)}
    items |= {"rouge_l": rouge, "cider": consensus, "cider_d": consensus}
    corpus = {name: _mean(values) for name, values in items.items()}
    corpus |= {f"bleu_{order + 1}": bleu_corpus[order] for order in range(ORDERS)}
    return CaptionScores(corpus, items)


def bleu(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> tuple[list[float], Float]:
    """BLEU-1 … 4 of the set, and of each caption [n, 4] (Papineni et al. 2002), brevity by the closest reference.

    The constants that keep coco-caption from dividing by zero are in it: without a common n-gram it is not 0 but about 1e-5 or less."""
    table = sentences([one.split() for one in candidates], [[one.split() for one in several] for several in references])
    return _bleu(table, list(table.orders()))


def bleu_among(texts: Sequence[str]) -> Float:
    """BLEU-1 … 4 of each of n ≥ 2 tokenised texts against all the others, [n, 4]: what `bleu` gives, in time and memory that grow with the words."""
    table = sentences([one.split() for one in texts], [[one.split()] for one in texts])
    n = table.captions
    tested = table.length[:n]
    correct, guess = np.zeros((n, ORDERS)), np.zeros((n, ORDERS))
    for order, one in enumerate(table.orders()):
        guess[:, order] = np.maximum(tested - order, 0)
        split = int(np.searchsorted(one.sentence, n))
        sentence, gram, count = one.sentence[:split], one.gram[:split], one.count[:split]
        # Of each n-gram the text that holds most of it, and the most that any other one holds.
        ranked = np.lexsort((-count, gram))
        first = np.flatnonzero(np.diff(gram[ranked], prepend=-1))
        follows = np.append(np.diff(first), split - first[-1:]) > 1
        second = np.where(follows, count[ranked[np.minimum(first + 1, split - 1)]], 0)
        place = np.searchsorted(gram[ranked[first]], gram)
        most = np.where(sentence == sentence[ranked[first]][place], second[place], count[ranked[first]][place])
        correct[:, order] = np.bincount(sentence, weights=np.minimum(count, most), minlength=n)
    lengths, number = np.unique(tested, return_counts=True)
    at = np.searchsorted(lengths, tested)
    shorter, longer = lengths[np.maximum(at - 1, 0)], lengths[np.minimum(at + 1, len(lengths) - 1)]
    nearer = (at > 0) & ((at == len(lengths) - 1) | (tested - shorter <= longer - tested))
    closest = np.where(number[at] > 1, tested, np.where(nearer, shorter, longer))
    return _precision(correct, guess) * _brevity(tested.astype(np.float64), closest.astype(np.float64))[:, None]


def cider_d(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> Float:
    """CIDEr-D of each caption [n], 0 … 10; its mean is the set's (Vedantam et al., arXiv 1411.5726, section 4.2).

    How rare an n-gram is, is counted over the items' references given here: the figure of an item depends on the others."""
    table = sentences([one.split() for one in candidates], [[one.split() for one in several] for several in references])
    return _cider(table, list(table.orders()), penalised=True)


def plain_cider(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> Float:
    """CIDEr of each caption [n] as the paper first defines it, times 10: without clipping and length penalty, words not stemmed
    (arXiv 1411.5726, section 4, Eq. 1 to 3). Not what coco-caption calls CIDEr: that is `cider_d`."""
    table = sentences([one.split() for one in candidates], [[one.split() for one in several] for several in references])
    return _cider(table, list(table.orders()), penalised=False)


def rouge_l(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> Float:
    """ROUGE-L of each caption [n], 0 … 1: F of the longest common subsequence with β 1.2, where precision and recall may come from
    different references (Lin 2004, and coco-caption)."""
    check(candidates, references)
    found = np.zeros(len(candidates))
    square = ROUGE_BETA**2
    for item, (candidate, several) in enumerate(zip(candidates, references, strict=True)):
        mine = candidate.split(" ")
        places: dict[str, int] = {}
        for place, word in enumerate(mine):
            places[word] = places.get(word, 0) | 1 << place
        precision = recall = 0.0
        for reference in several:
            theirs = reference.split(" ")
            common = _common(places, len(mine), theirs)
            precision, recall = max(precision, common / len(mine)), max(recall, common / len(theirs))
        if precision and recall:
            found[item] = (1 + square) * precision * recall / (recall + square * precision)
    return found


def _common(places: dict[str, int], length: int, theirs: Sequence[str]) -> int:
    """The length of the longest common subsequence, a word of `theirs` at a time in a few operations on all places of the other at once
    (Hyyrö 2004, "Bit-parallel LCS-length computation revisited")."""
    full = (1 << length) - 1
    row = full
    for word in theirs:
        match = places.get(word, 0) & row
        if match:
            row = ((row + match) | (row - match)) & full
    return length - row.bit_count()


def _bleu(table: Sentences, grams: Sequence[Grams]) -> tuple[list[float], Float]:
    n = table.captions
    tested = table.length[:n]
    closest = _closest(table)
    correct, guess = np.zeros((n, ORDERS)), np.zeros((n, ORDERS))
    for order, one in enumerate(grams):
        guess[:, order] = np.maximum(tested - order, 0)
        split = int(np.searchsorted(one.sentence, n))
        # Of each n-gram of an item, the most that any one reference holds.
        key = table.item[one.sentence[split:]] * one.grams + one.gram[split:]
        by_key = np.argsort(key, kind="stable")
        keys, first = np.unique(key[by_key], return_index=True)
        most = np.maximum.reduceat(one.count[split:][by_key], first) if len(first) else first
        place, there = found_at(keys, one.sentence[:split] * one.grams + one.gram[:split])
        clipped = np.minimum(most[place], one.count[:split]) * there if len(most) else np.zeros(split)
        correct[:, order] = np.bincount(one.sentence[:split], weights=clipped, minlength=n)
    items = _precision(correct, guess) * _brevity(tested.astype(np.float64), closest.astype(np.float64))[:, None]
    if not n:
        return [0.0] * ORDERS, items
    whole = _precision(correct.sum(axis=0)[None], guess.sum(axis=0)[None])[0]
    short = _brevity(np.array([tested.sum()], dtype=np.float64), np.array([closest.sum()], dtype=np.float64))[0]
    return [float(one) for one in whole * short], items


def _precision(correct: Float, guess: Float) -> Float:
    """The geometric means of the first k precisions: [n, 4]."""
    product = np.cumprod((correct + _TINY) / (guess + _SMALL), axis=1)
    return product ** (1 / np.arange(1, ORDERS + 1))


def _brevity(tested: Float, wanted: Float) -> Float:
    ratio = (tested + _TINY) / (wanted + _SMALL)
    return np.where(ratio < 1, np.exp(1 - 1 / np.minimum(ratio, 1)), 1.0)


def _closest(table: Sentences) -> NDArray[np.int64]:
    """The length of each item's reference that is nearest in length, the shorter of two: [n]."""
    n = table.captions
    reference = table.length[n:]
    far = np.abs(reference - table.length[table.item[n:]])
    order = np.lexsort((reference, far, table.item[n:]))
    return reference[order[table.first[:-1]]] if n else reference


def _cider(table: Sentences, grams: Sequence[Grams], *, penalised: bool) -> Float:
    n = table.captions
    owner = table.item[n:]
    value = np.zeros(len(owner))
    # The original takes the number of a caption's bigrams for its length.
    bigrams = np.maximum(table.length - 1, 0).astype(np.float64)
    for one in grams:
        split = int(np.searchsorted(one.sentence, n))
        item = table.item[one.sentence]
        # By n-gram and then item: each new pair is one item more that has the n-gram.
        pairs = np.sort(one.gram[split:] * n + item[split:])
        new = np.concatenate([[True], pairs[1:] != pairs[:-1]]) if len(pairs) else np.zeros(0, dtype=bool)
        documents = np.bincount(pairs[new] // max(n, 1), minlength=one.grams)
        weight = one.count * (math.log(max(n, 1)) - np.log(np.maximum(documents, 1)))[one.gram]
        length = np.sqrt(np.bincount(one.sentence, weights=weight**2, minlength=len(table.length)))
        place, there = found_at(
            one.sentence[:split] * one.grams + one.gram[:split], item[split:] * one.grams + one.gram[split:]
        )
        mine = weight[:split][place] * there if split else np.zeros(len(place))
        theirs = weight[split:]
        product = (np.minimum(mine, theirs) if penalised else mine) * theirs
        dot = np.bincount(one.sentence[split:] - n, weights=product, minlength=len(owner)).astype(np.float64)
        scale = length[owner] * length[n:]
        value += np.divide(dot, scale, out=np.zeros_like(dot), where=scale != 0)
    if penalised:
        value *= np.exp(-((bigrams[owner] - bigrams[n:]) ** 2) / (2 * CIDER_SIGMA**2))
    total = np.bincount(owner, weights=value, minlength=n)
    return total / ORDERS / np.maximum(np.diff(table.first), 1) * 10


def _mean(values: Float) -> float:
    return float(values.mean()) if len(values) else 0.0
