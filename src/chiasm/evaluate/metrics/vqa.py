"""The accuracy of the VQA challenge, quirks and all (Antol et al., arXiv 1505.00468, section 3; Goyal et al., arXiv 1612.00837).

Figures in the literature come of the official scorer, and so its oddities belong to the measure; each is named where it is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from chiasm.errors import DataError

Float = NDArray[np.float64]

_MARKS = ';/[]"{}()=+\\_-><@`,?!'
"""Punctuation that is removed or becomes a space; not the apostrophe, colon, ampersand, percent or dollar sign."""

_FULL_STOP = re.compile(r"(?!<=\d)\.(?!\d)")
"""Meant not to touch 3.5. The look-behind is miswritten, so only what follows the full stop counts: "U.S." loses both, "5." too."""

_MOST_STOPS = 32
"""The original hands a flag to re.sub in the place of the count: only so many full stops go."""

_THOUSANDS = re.compile(r"\d,\d")

_NUMBERS = {
    "none": "0", "zero": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8",
    "nine": "9", "ten": "10",
}  # fmt: skip
_ARTICLES = frozenset(("a", "an", "the"))

_CONTRACTED = (
    "ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd he'd've he's how'd how'll "
    "how's isn't it'd it'd've it'll ma'am mightn't mightn't've might've mustn't must've needn't not've o'clock oughtn't 'ow's'at shan't "
    "she'd've should've shouldn't shouldn't've somebody'd've somebody'll somebody's someone'd someone'd've someone'll someone's something'd "
    "something'd've something'll that's there'd there'd've there're there's they'd they'd've they'll they're they've 'twas wasn't we'd've "
    "we've weren't what'll what're what's what've when's where'd where's where've who'd who'd've who'll who's who've why'll why're why's "
    "won't would've wouldn't wouldn't've y'all y'all'll y'all'd've you'd you'd've you'll you're you've"
)


def _restored() -> dict[str, str]:
    """What lacks one apostrophe → what it should be, and one that goes the other way: somebody'd loses its apostrophe."""
    table = {form[:i] + form[i + 1 :]: form for form in _CONTRACTED.split() for i, one in enumerate(form) if one == "'"}
    return table | {"somebody'd": "somebodyd"}


_RESTORED = _restored()


def vqa_normalised(answer: str) -> str:
    """An answer as the official scorer compares it: without punctuation and articles, lower case, number words as digits.

    "The T-shirt!" → "t shirt"; "a" → "". A mark becomes a space; but where it stands beside a space somewhere in the answer, or where the
    answer has a number such as 1,000, it just goes: "a-b c" → "b c", "x - a-b" → "x ab"."""
    return _in_words(_without_marks(answer))


def vqa_accuracy(predictions: Sequence[str], answers: Sequence[Sequence[str]]) -> Float:
    """How well each prediction agrees with the people asked: 0 … 1, [n]; the official figure is 100 times the mean, to 2 decimals.

    For each person: min(1, how many of the *others* said it / 3); the mean over the persons. Where all people gave the very same
    answer nothing is normalised, as in the original: "The orange." is wrong where all ten said "orange".
    Raises DataError where the numbers differ or a question has no answer.
    """
    if len(predictions) != len(answers):
        raise DataError(f"{len(predictions)} predictions and answers to {len(answers)} questions: give each its own")
    return np.array(
        [_agreement(one, several, i) for i, (one, several) in enumerate(zip(predictions, answers, strict=True))],
        np.float64,
    )


def _agreement(prediction: str, answers: Sequence[str], place: int) -> float:
    if not answers:
        raise DataError(f"question {place} has no answer: nothing to compare the prediction with")
    prediction, *given = (one.replace("\n", " ").replace("\t", " ").strip() for one in (prediction, *answers))
    if len(set(given)) > 1:
        prediction, *given = (vqa_normalised(one) for one in (prediction, *given))
    same = [one == prediction for one in given]
    agreeing = sum(same)
    return sum(min(1.0, (agreeing - own) / 3) for own in same) / len(given)


def _without_marks(answer: str) -> str:
    found = answer
    thousands = _THOUSANDS.search(answer) is not None
    for mark in _MARKS:
        beside = f"{mark} " in answer or f" {mark}" in answer
        found = found.replace(mark, "" if beside or thousands else " ")
    return _FULL_STOP.sub("", found, count=_MOST_STOPS)


def _in_words(answer: str) -> str:
    numbered = (_NUMBERS.get(word, word) for word in answer.lower().split())
    return " ".join(_RESTORED.get(word, word) for word in numbered if word not in _ARTICLES)
