"""Entities, relations and events of texts, by gazetteers and rules; no model.

Entities of the open kinds (name, number, date) and of users' gazetteers are found in any language written with spaces; the built-in
gazetteers, relations and events are English.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from chiasm.dataset.extract_words import (
    ADVERBS,
    AUXILIARIES,
    CONJUNCTIONS,
    DETERMINERS,
    FORMS,
    GAZETTEERS,
    MONTHS,
    NOUNS_IN_ING,
    NUMBERS,
    PLURALS,
    PREPOSITIONS,
    PRONOUNS,
    RELATING,
    VERBS,
    WEEKDAYS,
    singular,
)
from chiasm.dataset.raw_features import LETTERS, words_of
from chiasm.errors import DataError
from chiasm.types import Relation, Text

MAX_GAZETTEER = 16 * 2**20
MAX_PHRASE = 8
"""Words of a gazetteer's term, at most."""

Gazetteer = Mapping[tuple[str, ...], str]
"""Words of a term → the name it stands for."""

_MONTH = "|".join(MONTHS)
_DATES = (
    re.compile(r"\b(?P<y>1[5-9]\d\d|20\d\d)-(?P<m>0[1-9]|1[0-2])-(?P<d>0[1-9]|[12]\d|3[01])\b"),
    re.compile(
        rf"\b(?P<d>[12]\d|3[01]|0?[1-9])(?:st|nd|rd|th)? (?P<m>{_MONTH})(?:,? (?P<y>1[5-9]\d\d|20\d\d))?\b", re.I
    ),
    re.compile(
        rf"\b(?P<m>{_MONTH}) (?P<d>[12]\d|3[01]|0?[1-9])(?:st|nd|rd|th)?(?:,? (?P<y>1[5-9]\d\d|20\d\d))?\b", re.I
    ),
    re.compile(r"\b(?:in|since|of|from|year) (?P<y>1[5-9]\d\d|20\d\d)\b", re.I),
)  # no part of these can match in two ways, so they are linear in the text
_NUMBER = re.compile(
    r"(?<![\w.])(?:(?P<thousands>\d{1,3}(?:,\d{3}){1,4}(?:\.\d{1,6})?)|\d{1,15}(?:[.,]\d{1,6})?)(?![\w.]?\d)"
)
_TOKEN = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*|\d+|[.,;:!?]")

Tag = Literal["noun", "verb", "aux", "prep", "det", "pronoun", "stop", "adverb"]


@dataclass(frozen=True, slots=True)
class Token:
    """A word of a caption. form: which of a verb, "base", "s", "ing" or "ed"."""

    word: str
    tag: Tag
    lemma: str
    form: str = ""


def read_gazetteer(path: Path) -> Gazetteer:
    """One term a line, or TERM<tab>NAME; `#` begins a remark. DataError where the file cannot be read or holds no term."""
    try:
        if path.stat().st_size > MAX_GAZETTEER:
            raise DataError(f"{path}: gazetteers are read up to {MAX_GAZETTEER:,} bytes")
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise DataError(f"{path}: not UTF-8") from None
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from None
    found: dict[tuple[str, ...], str] = {}
    for line in lines:
        term, _, name = line.partition("#")[0].partition("\t")
        words = tuple(words_of(term))
        if words and len(words) <= MAX_PHRASE:
            found.setdefault(words, name.strip() or term.strip())
    if not found:
        raise DataError(f"{path}: holds no term; write one a line")
    return found


def find_entities(text: Text, kinds: Sequence[str], gazetteers: Mapping[str, Gazetteer]) -> Iterator[tuple[str, str]]:
    """(kind, name) of the entities of one text, in the order of kinds; the same one twice where it occurs twice."""
    said = text.text[:LETTERS]
    english = text.language is None or text.language.lower().startswith("en")
    for kind in kinds:
        if kind in GAZETTEERS:
            if english:
                yield from ((kind, word) for word in map(singular, words_of(said)) if word in GAZETTEERS[kind])
        elif kind == "date":
            yield from (("date", date) for date in _dates(said, english))
        elif kind == "number":
            left = _without_dates(said)
            for found in _NUMBER.finditer(left):
                # 1,000 is a thousand in English, and one with three decimals elsewhere.
                grouped = found["thousands"] is not None and (english or found[0].count(",") > 1)
                yield "number", found[0].replace(",", "" if grouped else ".")
            if english:
                yield from (("number", str(NUMBERS[word])) for word in words_of(said) if word in NUMBERS)
        elif kind == "count":
            yield from (("count", count) for count in _counts(said) if english)
        elif kind == "name":
            yield from (("name", name) for name in _names(said))
    for kind, gazetteer in gazetteers.items():
        yield from ((kind, name) for name in _terms(words_of(said), gazetteer))


def find_relations(text: str) -> list[Relation]:
    """subject – predicate – object of a simple English caption: "a cat on a mat" → cat, on, mat; "dogs chase the ball" → dog, chase, ball.

    Nouns are brought to the singular and verbs to their base form; "held by" turns about. A preposition belongs to the noun before it.
    """
    tokens = tag(text[:LETTERS])
    found: list[Relation] = []
    head: str | None = None  # the clause's first noun, which its verbs belong to
    last: str | None = None
    verb: Token | None = None
    prep: str | None = None
    passive = False
    for place, token in enumerate(tokens):
        if token.tag == "noun":
            if place + 1 < len(tokens) and tokens[place + 1].tag == "noun":
                continue  # the last noun of a run is its head
            subject = last if verb is None else head
            if subject is not None:
                found += _relate(subject, verb, prep, passive, token.lemma)
            head, last = head or token.lemma, token.lemma
            verb, prep, passive = None, None, False
        elif token.tag == "verb":
            passive = token.form == "ed" and place > 0 and tokens[place - 1].tag == "aux"
            verb, prep = token, None
        elif token.tag == "prep":
            prep = token.lemma
        elif token.tag in ("stop", "pronoun"):
            head, last, verb, prep = None, None, None, None
    return list(dict.fromkeys(found))


def find_events(text: str) -> list[str]:
    """What happens: the verbs of an English caption in their base form, each once, in order."""
    return list(dict.fromkeys(token.lemma for token in tag(text[:LETTERS]) if token.tag == "verb"))


def tag(text: str) -> list[Token]:
    """The words of a caption with the part that each plays, by word lists, endings and the word before."""
    words = [found.casefold() for found in _TOKEN.findall(text)]
    tokens: list[Token] = []
    place = 0
    while place < len(words):
        many = next((p for p in PREPOSITIONS if len(p) > 1 and tuple(words[place : place + len(p)]) == p), None)
        if many is not None:
            tokens.append(Token(" ".join(many), "prep", " ".join(many)))
            place += len(many)
            continue
        tokens.append(_tag_word(words[place], tokens[-1] if tokens else None))
        place += 1
    return tokens


def _tag_word(word: str, before: Token | None) -> Token:
    after_noun = before is not None and before.tag in ("noun", "pronoun", "aux", "adverb")
    lemma = FORMS.get(word)
    if lemma is not None and word.endswith("ing"):
        return Token(word, "verb", lemma, "ing") if before is None or before.tag != "det" else _noun(word)
    if lemma is not None and after_noun:
        return Token(word, "verb", lemma, "s" if word.endswith("s") and not word.endswith("ss") else "ed")
    if word in DETERMINERS or word.isdigit() or word in NUMBERS:
        return Token(word, "det", word)
    if word in AUXILIARIES:
        return Token(word, "aux", word)
    if (word,) in PREPOSITIONS:
        return Token(word, "prep", word)
    if word in CONJUNCTIONS or not word[0].isalpha():
        return Token(word, "stop", word)
    if word in PRONOUNS:
        return Token(word, "pronoun", word)
    if word in ADVERBS or (word.endswith("ly") and word not in ("fly", "family", "lily", "belly", "jelly")):
        return Token(word, "adverb", word)
    if word in VERBS and before is not None and (before.tag == "pronoun" or _plural(before)):
        return Token(word, "verb", word, "base")
    if word.endswith("ing") and len(word) > 4 and word not in NOUNS_IN_ING and after_noun:
        return Token(word, "verb", word, "ing")  # a verb that no list holds stays as it is
    return _noun(word)


def _noun(word: str) -> Token:
    return Token(word, "noun", singular(word))


def _plural(token: Token) -> bool:
    return token.tag == "noun" and (token.word in PLURALS or token.lemma != token.word)


def _relate(subject: str, verb: Token | None, prep: str | None, passive: bool, other: str) -> list[Relation]:
    if verb is None:
        return [Relation(subject, prep, other)] if prep is not None and _relates(prep) else []
    if prep is None:
        return [Relation(subject, verb.lemma, other)]
    if passive and prep == "by":
        return [Relation(other, verb.lemma, subject)]
    return [Relation(subject, f"{verb.lemma} {prep}", other)]


def _relates(prep: str) -> bool:
    return prep in RELATING or " " in prep


def _dates(said: str, english: bool) -> Iterator[str]:
    spans: list[tuple[int, int]] = []
    for pattern in _DATES:
        for found in pattern.finditer(said):
            if any(a < found.end() and found.start() < b for a, b in spans):
                continue
            spans.append(found.span())
            parts = found.groupdict()
            month, day, year = parts.get("m"), parts.get("d"), parts.get("y")
            if month is not None and not month.isdigit():
                month = f"{MONTHS.index(month.lower()) + 1:02d}"
            if month is None:
                yield str(year)
            else:
                yield f"{year or '--'}-{month}-{int(day or 0):02d}"
    if english:
        yield from (word for word in words_of(said) if word in WEEKDAYS)


def _without_dates(said: str) -> str:
    for pattern in _DATES:
        said = pattern.sub(" ", said)
    return said


def _counts(said: str) -> Iterator[str]:
    """ "three red apples" → "3 apple": a number, at most two words between, and a noun in the plural (or one after "one")."""
    words = words_of(said)
    for place, word in enumerate(words):
        value = NUMBERS.get(word, int(word) if word.isdecimal() and len(word) <= 6 else None)
        if value is None:
            continue
        for noun in words[place + 1 : place + 4]:
            if noun in DETERMINERS or (noun,) in PREPOSITIONS or noun in AUXILIARIES or noun in CONJUNCTIONS:
                break
            if noun in PLURALS or singular(noun) != noun:
                yield f"{value} {singular(noun)}"
                break


def _names(said: str) -> Iterator[str]:
    """Runs of capitalised words within a sentence; a sentence's first word counts only before another one. A text in title case has none."""
    tokens: list[str] = _TOKEN.findall(said)
    words = [token for token in tokens if token[0].isalpha()]
    capital = [word for word in words[1:] if word[0].isupper()]
    if len(words) > 3 and len(capital) > 0.8 * (len(words) - 1):
        return
    run: list[str] = []
    first, begins = True, True
    for token in [*tokens, "."]:
        if token[0].isalpha() and token[0].isupper() and token != "I":
            if not run:
                begins = first
            run.append(token)
        else:
            if begins and run and run[0].casefold() in DETERMINERS | CONJUNCTIONS | PRONOUNS:
                run, begins = run[1:], False
            if run and not (len(run) == 1 and (begins or run[0].casefold() in WEEKDAYS | set(MONTHS))):
                yield " ".join(run)
            run = []
        first = not token[0].isalnum() and token in ".!?"


def _terms(words: Sequence[str], gazetteer: Gazetteer) -> Iterator[str]:
    """The longest terms from left to right; words also in the singular."""
    place = 0
    while place < len(words):
        for length in range(min(MAX_PHRASE, len(words) - place), 0, -1):
            said = tuple(words[place : place + length])
            name = gazetteer.get(said) or gazetteer.get((*said[:-1], singular(said[-1])))
            if name is not None:
                yield name
                place += length - 1
                break
        place += 1
