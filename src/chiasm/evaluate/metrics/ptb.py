"""Words as the official caption scorer sees them: Stanford's PTBTokenizer 3.4.1 and coco-caption's removal of punctuation, without Java.

The original is a scanner that takes, at each place, the rule that matches the longest piece of text, what must follow included, and of
equally long ones the first. The tokens are those of the Penn Treebank (Marcus et al. 1993, "Building a Large Annotated Corpus of English").
The rules here were written from what the original makes of many texts, and agree with it on all captions that they were compared on.

What differs: letters newer than Unicode 6 are dropped there, as emoji are; here they are kept. Line breaks inside of a caption are
spaces here; there some of them shift all later captions by one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache, lru_cache

from chiasm.evaluate.metrics.ptb_rules import ABBREVIATIONS, CONTRACTED, Rule, make_rules

PUNCTUATION = frozenset(
    ["''", "'", "``", "`", "-LRB-", "-RRB-", "-LCB-", "-RCB-", ".", "?", "!", ",", ":", "-", "--", "...", ";"]
)
"""What coco-caption removes. Its brackets never match, as the tokens come in lower case: "-lrb-" stays, and is a word of every official score."""

_LINE_BREAK = re.compile("[\n\r\v\f\u2028\u2029]")
_CHUNK = re.compile(r"\S+")
_PLAIN = re.compile(r"([A-Za-z]+)([,!?;]?)")
_ENDED = re.compile(r"([A-Za-z]{2,})\.")
_ALONE = re.compile(r"[^\d<(.]+")
"""Chunks that mean the same whatever stands around them: the other rules may reach over spaces."""


def coco_tokenised(captions: Sequence[str]) -> list[str]:
    """The captions as the official scorer compares them: lower case, without punctuation, one space between tokens.

    The order matters in rare cases, there as here: whether the last full stop of "plan A." belongs to its word depends on how the
    next caption begins."""
    texts = [_LINE_BREAK.sub(" ", one) for one in captions]
    following = [*texts[1:], ""]
    return [
        " ".join(token for token in _tokens(text, after) if token not in PUNCTUATION)
        for text, after in zip(texts, following, strict=True)
    ]


def ptb_tokens(text: str) -> list[str]:
    """All tokens of a text, punctuation among them, in lower case. "A T-shirt isn't $5." → a t-shirt is n't $ 5 ."""
    return _tokens(_LINE_BREAK.sub(" ", text), "")


def _tokens(text: str, after: str) -> list[str]:
    chunks = _CHUNK.findall(text)
    found: list[str] = []
    for chunk in chunks:
        one = _alone(chunk)
        if one is None:  # some rule may look beyond its spaces: once through the whole text, rule by rule
            return _scan(text + "\n" + after, len(text))
        found += one
    return found


@lru_cache(maxsize=1 << 16)
def _alone(chunk: str) -> tuple[str, ...] | None:
    """The tokens of what stands between spaces; None where they depend on what stands around it."""
    plain = _PLAIN.fullmatch(chunk)
    if plain and plain[1].lower() not in CONTRACTED:
        return (plain[1].lower(), plain[2]) if plain[2] else (plain[1].lower(),)
    ended = _ENDED.fullmatch(chunk)
    if ended and ended[1].lower() not in CONTRACTED and ended[1].lower() not in ABBREVIATIONS:
        return (ended[1].lower(), ".")
    return tuple(_scan(chunk + "\n", len(chunk))) if _ALONE.fullmatch(chunk) else None


def _scan(text: str, end: int) -> list[str]:
    """The tokens that begin before `end`."""
    rules = _rules()
    tokens: list[str] = []
    place = 0
    while place < end:
        longest, token, act = 0, "", None
        for rule in rules:
            match = rule.pattern.match(text, place)
            if match and match.end() - place > longest:
                longest, token, act = match.end() - place, match[1], rule.act
        if act is None:  # no rule knows the character: it is dropped
            place += 1
            continue
        tokens += act(token)
        place += len(token)
    return [token.lower() for token in tokens]


@cache
def _rules() -> list[Rule]:
    return make_rules()
