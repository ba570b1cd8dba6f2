"""Questions about a scene and their answers, drawn so that a question alone tells next to nothing of its answer.

The answer yes or no is drawn first, with equal chances, and then something to ask that has this answer. Answers are names of
objects, numbers, yes, no, big and small.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from chiasm.sources.scene_layout import OPPOSITE, PREDICATES, Relations, Thing, only_one
from chiasm.sources.scene_words import Names, article, pick
from chiasm.types import Question


def questions(
    rng: np.random.Generator, things: Sequence[Thing], relations: Relations, names: Names, flipped: float
) -> tuple[Question, ...]:
    """Three to eight in English, one in Chinese, one in German.

    names: all objects that occur in scenes. flipped: the chance with which a thing is upside-down.
    """
    asked = [
        *_counting(rng, things, list(names)),
        *_size(rng, things),
        *_position(rng, things, relations),
        *_orientation(rng, things, flipped),
    ]
    english = [Question(question, (answer,), "en") for question, answer in asked]
    chinese = _foreign(rng, things, names, "zh", ("图中有{a}吗？", "有几张图片？", "最大的是什么？"), ("有", "没有"))
    german = _foreign(
        rng,
        things,
        names,
        "de",
        ("Kommt „{a}“ vor?", "Wie viele Bilder sind zu sehen?", "Was ist am größten?"),
        ("ja", "nein"),
    )
    return (*english, chinese, german)


Asked = tuple[str, str]
"""A question and its answer."""


def _counting(rng: np.random.Generator, things: Sequence[Thing], names: Sequence[str]) -> Iterator[Asked]:
    yield pick(rng, ("How many pictures are there?", "How many pictures are shown?")), str(len(things))
    name, there = _perhaps_there(rng, things, names)
    yield pick(rng, ("Is there {a}?", "Can you see {a}?")).format(a=article(name)), _yes(there)
    if len(things) == 1:
        yield pick(rng, ("What is shown?", "What is in the picture?")), things[0].name


def _size(rng: np.random.Generator, things: Sequence[Thing]) -> Iterator[Asked]:
    big = [thing.name for thing in things if thing.big]
    small = [thing.name for thing in things if not thing.big]
    asks_big = rng.random() < 0.5
    name = pick(rng, (big if asks_big else small) or (small or big))
    word = pick(rng, ("big", "small"))
    if rng.random() < 0.5:
        yield f"Is the {name} {word}?", _yes((name in big) == (word == "big"))
    else:
        yield f"Is the {name} big or small?", "big" if name in big else "small"
    if len(things) > 1:
        yield pick(rng, ("Which picture is the biggest?", "What is biggest?")), big[0]


def _position(rng: np.random.Generator, things: Sequence[Thing], relations: Relations) -> Iterator[Asked]:
    if len(things) == 1:
        return
    (i, j), predicate = pick(rng, list(relations.items()))
    true = rng.random() < 0.5
    word = predicate if true else OPPOSITE[predicate]
    yield f"Is the {things[i].name} {word} the {things[j].name}?", _yes(bool(true))
    unique = [
        (found, predicate, anchor)
        for predicate in PREDICATES
        for anchor in range(len(things))
        if (found := only_one(things, relations, predicate, anchor)) is not None
    ]
    if unique:
        found, predicate, anchor = pick(rng, unique)
        form = pick(rng, ("What is {p} the {b}?", "Which picture is {p} the {b}?"))
        yield form.format(p=predicate, b=things[anchor].name), things[found].name


def _orientation(rng: np.random.Generator, things: Sequence[Thing], flipped: float) -> Iterator[Asked]:
    turned = [thing.name for thing in things if thing.upside_down]
    upright = [thing.name for thing in things if not thing.upside_down]
    if turned and upright:
        names = turned if rng.random() < 0.5 else upright
        yield f"Is the {pick(rng, names)} upside-down?", _yes(names is turned)
    elif len(things) == 1 and (turned or rng.random() < flipped / (1 - flipped)):  # as many upright as turned ones
        yield f"Is the {things[0].name} upside-down?", _yes(bool(turned))
    if len(turned) == 1 and len(things) > 1:
        yield "What is upside-down?", turned[0]


def _foreign(
    rng: np.random.Generator,
    things: Sequence[Thing],
    names: Names,
    language: str,
    forms: tuple[str, str, str],
    answers: tuple[str, str],
) -> Question:
    there, count, biggest = forms
    kind = int(rng.integers(4))
    if kind < 2:
        name, found = _perhaps_there(rng, things, list(names))
        return Question(there.format(a=names[name][language]), (answers[0 if found else 1],), language)
    if kind == 2 or len(things) == 1:
        return Question(count, (str(len(things)),), language)
    (big,) = [thing.name for thing in things if thing.big]
    return Question(biggest, (names[big][language],), language)


def _perhaps_there(rng: np.random.Generator, things: Sequence[Thing], names: Sequence[str]) -> tuple[str, bool]:
    """An object that is in the scene or, as often, is not; either way any object is as likely as any other."""
    present = [thing.name for thing in things]
    there = bool(rng.random() < 0.5)
    return pick(rng, present if there else [name for name in names if name not in present]), there


def _yes(true: bool) -> str:
    return "yes" if true else "no"
