"""What is said of a clip in three languages, and questions about it, drawn so that a question alone tells next to nothing of its answer.

The answer yes or no is drawn first, with equal chances, and then something to ask that has this answer. A false action is as often the
opposite of the true one as any.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from chiasm.sources.motion_clip import ACTIONS, OPPOSITE, SPEEDS, STILL, Clip
from chiasm.sources.scene_words import Names, article, pick
from chiasm.types import Question, Text

_NOTHING = 0.1
"""How often a question for what does something is about something that nothing does."""

_PLACES: Mapping[str, Mapping[str, str]] = {
    "en": {
        "top": "at the top", "bottom": "at the bottom", "left": "on the left", "right": "on the right", "centre": "in the centre",
        "top left": "at the top left", "top right": "at the top right",
        "bottom left": "at the bottom left", "bottom right": "at the bottom right",
    },
    "de": {
        "top": "oben", "bottom": "unten", "left": "links", "right": "rechts", "centre": "in der Mitte",
        "top left": "oben links", "top right": "oben rechts", "bottom left": "unten links", "bottom right": "unten rechts",
    },
    "zh": {
        "top": "上方", "bottom": "下方", "left": "左边", "right": "右边", "centre": "中间",
        "top left": "左上方", "top right": "右上方", "bottom left": "左下方", "bottom right": "右下方",
    },
}  # fmt: skip
_SPEEDS: Mapping[str, Mapping[str, str]] = {
    "en": {"slow": "slowly", "fast": "quickly"},
    "de": {"slow": "langsam", "fast": "schnell"},
    "zh": {"slow": "慢慢地", "fast": "快速地"},
}

# {a}: the object · {p}: the place · {s}: how fast
_ENGLISH: Mapping[str, tuple[str, str]] = {
    "moves left": ("{a} moves {s} to the left {p}", "{p} {a} goes left {s}"),
    "moves right": ("{a} moves {s} to the right {p}", "{p} {a} goes right {s}"),
    "moves up": ("{a} {p} moves up {s}", "{p} {a} rises {s}"),
    "moves down": ("{a} {p} moves down {s}", "{p} {a} sinks {s}"),
    "grows": ("{a} {p} grows {s}", "{p} {a} gets bigger {s}"),
    "shrinks": ("{a} {p} shrinks {s}", "{p} {a} gets smaller {s}"),
    "turns clockwise": ("{a} {p} turns clockwise {s}", "{p} {a} spins {s}, clockwise"),
    "turns counter-clockwise": ("{a} {p} turns counter-clockwise {s}", "{p} {a} spins {s}, counter-clockwise"),
    "jumps": ("{a} {p} jumps {s}", "{p} {a} hops {s}"),
    "stays still": ("{a} stays still {p}", "{p} {a} does not move"),
}
_GERMAN: Mapping[str, str] = {
    "moves left": "{a} bewegt sich {p} {s} nach links", "moves right": "{a} bewegt sich {p} {s} nach rechts",
    "moves up": "{a} bewegt sich {p} {s} nach oben", "moves down": "{a} bewegt sich {p} {s} nach unten",
    "grows": "{a} wird {p} {s} größer", "shrinks": "{a} wird {p} {s} kleiner",
    "turns clockwise": "{a} dreht sich {p} {s} im Uhrzeigersinn",
    "turns counter-clockwise": "{a} dreht sich {p} {s} gegen den Uhrzeigersinn",
    "jumps": "{a} hüpft {p} {s}", "stays still": "{a} steht {p} still",
}  # fmt: skip
_CHINESE: Mapping[str, str] = {
    "moves left": "向左移动", "moves right": "向右移动", "moves up": "向上移动", "moves down": "向下移动", "grows": "变大", "shrinks": "变小",
    "turns clockwise": "顺时针旋转", "turns counter-clockwise": "逆时针旋转", "jumps": "跳", "stays still": "静止不动",
}  # fmt: skip
_GERMAN_ACTS: Mapping[str, str] = {
    "moves left": "bewegt sich nach links", "moves right": "bewegt sich nach rechts",
    "moves up": "bewegt sich nach oben", "moves down": "bewegt sich nach unten",
    "grows": "wird größer", "shrinks": "wird kleiner", "turns clockwise": "dreht sich im Uhrzeigersinn",
    "turns counter-clockwise": "dreht sich gegen den Uhrzeigersinn", "jumps": "hüpft", "stays still": "steht still",
}  # fmt: skip
_DOES: Mapping[str, str] = {
    "moves left": "move left", "moves right": "move right", "moves up": "move up", "moves down": "move down",
    "grows": "grow", "shrinks": "shrink", "turns clockwise": "turn clockwise",
    "turns counter-clockwise": "turn counter-clockwise", "jumps": "jump", "stays still": "stay still",
}  # fmt: skip
_WHAT: Mapping[str, frozenset[str]] = {
    "moves": frozenset({"moves left", "moves right", "moves up", "moves down"}), "grows": frozenset({"grows"}),
    "shrinks": frozenset({"shrinks"}), "turns": frozenset({"turns clockwise", "turns counter-clockwise"}),
    "jumps": frozenset({"jumps"}), STILL: frozenset({STILL}),
}  # fmt: skip
"""What can be asked for ("what grows?") and the actions that it means."""


def captions(rng: np.random.Generator, clip: Clip, names: Names) -> tuple[Text, ...]:
    """Two in English of different words, one in German and one in Chinese. Each tells object, action, place, speed, and what is beside."""
    first, second = _ENGLISH[clip.action]
    english = [_sentence(form.format(a=article(clip.name), **_how(clip, "en"))) for form in (first, second)]
    if clip.beside is not None:
        b = article(clip.beside)
        english[0] += " " + _sentence(pick(rng, (f"there is also {b}", f"{b} stays where it is")))
        english[1] += " " + _sentence(pick(rng, (f"you can also see {b}", f"{b} is there too")))
    said = [Text(text, "en", "caption") for text in english]
    return (*said, Text(_german(clip, names), "de", "caption"), Text(_chinese(clip, names), "zh", "caption"))


def _sentence(words: str) -> str:
    words = words.strip()
    return f"{words[:1].upper()}{words[1:]}."


def _how(clip: Clip, language: str) -> dict[str, str]:
    return {"p": _PLACES[language][clip.place], "s": "" if clip.speed is None else _SPEEDS[language][clip.speed]}


def _german(clip: Clip, names: Names) -> str:
    told = _sentence(_GERMAN[clip.action].format(a=names[clip.name]["de"], **_how(clip, "de")))
    return told if clip.beside is None else f"{told} Daneben: {names[clip.beside]['de']}."


def _chinese(clip: Clip, names: Names) -> str:
    how = _how(clip, "zh")
    told = f"{names[clip.name]['zh']}在{how['p']}{how['s']}{_CHINESE[clip.action]}。"
    return told if clip.beside is None else f"{told}还有{names[clip.beside]['zh']}。"


def questions(rng: np.random.Generator, clip: Clip, names: Names) -> tuple[Question, ...]:
    """Six to eight in English, one in German, one in Chinese."""
    asked = [
        _what(rng, clip),
        (pick(rng, ("What does the {a} do?", "What happens to the {a}?")).format(a=clip.name), clip.action),
        _does(rng, clip),
        (pick(rng, ("Where is the {a}?", "Where do you see the {a}?")).format(a=clip.name), _PLACES["en"][clip.place]),
        _there(rng, clip, list(names)),
        ("How many pictures are there?", "1" if clip.beside is None else "2"),
        *_way(rng, clip),
        *_speed(rng, clip),
    ]
    return (*(Question(question, (answer,), "en") for question, answer in asked), *_foreign(rng, clip, names))


Asked = tuple[str, str]
"""A question and its answer."""


def _what(rng: np.random.Generator, clip: Clip) -> Asked:
    true = next(verb for verb, meant in _WHAT.items() if clip.action in meant)
    if rng.random() < _NOTHING:
        false = [verb for verb in _WHAT if verb != true and not (verb == STILL and clip.beside is not None)]
        return f"What {pick(rng, false)}?", "nothing"
    if clip.beside is not None and clip.action != STILL and rng.random() < 0.1:
        return f"What {STILL}?", clip.beside
    if clip.action == STILL and clip.beside is not None:
        return "What is bigger?", clip.name  # two things stay still
    return f"What {true}?", clip.name


def _does(rng: np.random.Generator, clip: Clip) -> Asked:
    true = bool(rng.random() < 0.5)
    form = pick(rng, ("Does the {a} {d}?", "Do you see the {a} {d}?"))
    return form.format(a=clip.name, d=_DOES[clip.action if true else _other(rng, clip.action)]), _yes(true)


def _other(rng: np.random.Generator, action: str) -> str:
    if rng.random() < 0.5:
        return OPPOSITE[action]
    return pick(rng, [other for other in ACTIONS if other != action])


def _there(rng: np.random.Generator, clip: Clip, names: Sequence[str]) -> Asked:
    present = [clip.name] if clip.beside is None else [clip.name, clip.beside]
    true = bool(rng.random() < 0.5)
    name = pick(rng, present if true else [name for name in names if name not in present])
    return pick(rng, ("Is there {a}?", "Can you see {a}?")).format(a=article(name)), _yes(true)


def _way(rng: np.random.Generator, clip: Clip) -> Iterator[Asked]:
    verb, _, way = clip.action.partition(" ")
    if verb in ("moves", "turns"):
        asks = pick(rng, ("Which way does it {v}?", "Which way does the {a} {v}?"))
        yield asks.format(v=verb.removesuffix("s"), a=clip.name), way


def _speed(rng: np.random.Generator, clip: Clip) -> Iterator[Asked]:
    if clip.speed is None:
        return
    word = pick(rng, SPEEDS)
    form = int(rng.integers(3))
    if form == 0:
        yield "Is it fast or slow?", clip.speed
    else:
        yield (f"Is it {word}?" if form == 1 else f"Is the {clip.name} {word}?"), _yes(word == clip.speed)


def _foreign(rng: np.random.Generator, clip: Clip, names: Names) -> Iterator[Question]:
    german, chinese = names[clip.name]["de"], names[clip.name]["zh"]
    yes = rng.random(2) < 0.5
    asks = rng.random(2) < 0.5
    acts = [clip.action if true else _other(rng, clip.action) for true in yes]
    if asks[0]:
        yield Question(f"Was geschieht mit „{german}“?", (_GERMAN_ACTS[clip.action],), "de")
    else:
        yield Question(f"„{german}“ {_GERMAN_ACTS[acts[0]]}: stimmt das?", ("ja" if yes[0] else "nein",), "de")
    if asks[1]:
        yield Question(f"{chinese}怎么了？", (_CHINESE[clip.action],), "zh")
    else:
        yield Question(f"{chinese}{_CHINESE[acts[1]]}，对吗？", ("对" if yes[1] else "不对",), "zh")


def _yes(true: bool) -> str:
    return "yes" if true else "no"
