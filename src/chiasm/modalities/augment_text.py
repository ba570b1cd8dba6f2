"""Changes to texts that mostly leave their meaning alone. Words are what white space parts; every draw comes from the generator handed in."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

_CORE = re.compile(r"^(\W*)(.*?)(\W*)$", re.DOTALL)
STEM = 4
"""Letters that a word and its stem have in common, at least."""


def drop_words(text: str, share: float, rng: np.random.Generator) -> str:
    """The text without each of its words with probability `share` (EDA, Wei and Zou 2019, arXiv 1901.11196); one word always stays."""
    words = text.split()
    kept = rng.random(len(words)) >= share
    if not kept.any():
        kept[int(rng.integers(len(words)))] = True
    return " ".join(word for word, keep in zip(words, kept, strict=True) if keep)


def swap_words(text: str, count: int, rng: np.random.Generator) -> str:
    """The text with `count` pairs of neighbouring words swapped."""
    words = text.split()
    for _ in range(count if len(words) > 1 else 0):
        place = int(rng.integers(len(words) - 1))
        words[place], words[place + 1] = words[place + 1], words[place]
    return " ".join(words)


def back_off(text: str, classes: Mapping[str, str], share: float, rng: np.random.Generator) -> str:
    """The text with each word that `classes` knows (lower case → what stands for it: a hypernym, a synonym, a stem) replaced with probability
    `share`. Punctuation and a capital first letter stay."""
    words = text.split()
    for place, draw in enumerate(rng.random(len(words))):
        before, core, after = _CORE.match(words[place]).groups()  # pyright: ignore[reportOptionalMemberAccess]
        found = classes.get(core.lower())
        if found is not None and draw < share:
            words[place] = before + (found[:1].upper() + found[1:] if core[:1].isupper() else found) + after
    return " ".join(words)


def stems(counts: Mapping[str, int], rare: int = 2) -> dict[str, str]:
    """For words that occur at most `rare` times: the commonest other word that is a beginning of theirs of STEM letters or more ("teapots" →
    "teapot"), where there is one. What rare words back off to by frequency alone."""
    found: dict[str, str] = {}
    for word, count in counts.items():
        if count > rare or len(word) <= STEM:
            continue
        shorter = [word[:length] for length in range(STEM, len(word)) if counts.get(word[:length], 0) > rare]
        if shorter:
            found[word] = max(shorter, key=lambda stem: (counts[stem], len(stem)))
    return found
