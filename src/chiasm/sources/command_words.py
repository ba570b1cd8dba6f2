"""What a small voice assistant is asked: intents, the phrasings of each, and what fills their slots."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product

import numpy as np

SLOTS: Mapping[str, tuple[str, ...]] = {
    "minutes": ("two", "three", "five", "eight", "ten", "twelve", "fifteen", "twenty", "thirty", "forty five"),
    "name": ("Anna", "Robert", "Maria", "Peter", "Susan", "David", "Laura", "George", "Emily", "Oscar"),
    "room": ("kitchen", "bedroom", "bathroom", "hallway", "garage", "office"),
    "opening": ("window", "door", "gate", "roof", "garage"),
}
"""By the name that stands in {} in a phrasing."""

_LIGHT = "light|lamp"

GRAMMAR: Mapping[str, tuple[str, ...]] = {
    "play_music": (
        "play|start|put on / some music|a song|the radio|my playlist / |please|now",
        "I want to hear|let me listen to / some music|a song|the radio|my playlist",
    ),
    "stop": ("|please|now / stop|cancel|end|quit / |this|that|it|everything", "no more|that is enough|be quiet / |of this|please|now"),
    "light_on": (
        f"turn on|switch on / the / {_LIGHT} / in the {{room}} / |please|now",
        f"turn|switch / the {{room}} / {_LIGHT} / on",
        "I need|give me / some light / in the {room} / |please",
    ),
    "light_off": (
        f"turn off|switch off / the / {_LIGHT} / in the {{room}} / |please|now",
        f"turn|switch / the {{room}} / {_LIGHT} / off",
        f"I need no|put out the / {_LIGHT} / in the {{room}} / |please",
    ),
    "set_timer": (
        "set|start / a timer|an alarm / for|of / {minutes} minutes / |please",
        "wake me|remind me|call me / in|after / {minutes} minutes",
    ),
    "call": (
        "call|phone|ring / {name} / |please|now|for me",
        "let me|I want to / talk to|speak to / {name} / |please|now",
    ),
    "send_message": (
        "send|write / a message|a letter|a note / to {name} / |please",
        "tell|text / {name} / that I am / late|coming|at home",
    ),
    "weather": (
        "how is|tell me|what is / the weather|the forecast / |today|tonight|tomorrow",
        "will it|is it going to / rain|snow|be cold|be warm / |today|tonight|tomorrow",
    ),
    "time": (
        "what|tell me what|do you know what / time|hour|day / it is|is it|we have / |now|please",
        "give me|read me|tell me / the time|the hour|the date / |now|please",
    ),
    "open": ("open|unlock|pull open / the {opening} / |please|now|for me", "I want|leave|keep / the {opening} / open / |please|now"),
    "close": ("close|lock|pull shut / the {opening} / |please|now|for me", "I want|leave|keep / the {opening} / shut|closed / |please|now"),
    "louder": (
        "turn up|raise|increase / the volume|the sound|your voice / |a little|please|now",
        "|please|a little|speak / louder|more loudly|up / |please|now",
    ),
    "quieter": (
        "turn down|lower|reduce / the volume|the sound|your voice / |a little|please|now",
        "|please|a little|speak / quieter|more softly|down / |please|now",
    ),
    "news": (
        "read me|tell me|give me / the news|the headlines|the latest news / |today|please|now",
        "what is|is there anything / new|in the news|in the papers / |today|tonight",
    ),
}  # fmt: skip
"""Frames of each intent: parts divided by " / ", each one of its alternatives divided by "|"; at most one slot."""


def phrasings(intent: str, count: int) -> list[str]:
    """`count` different phrasings of an intent, in turn from its frames; the same whatever the seed of a build, so that speech is kept."""
    rng = np.random.default_rng([*intent.encode()])
    turns = [_shuffled(rng, list(_expand(frame))) for frame in GRAMMAR[intent]]
    found: dict[str, None] = {}
    for round_ in range(max(map(len, turns))):
        found.update(dict.fromkeys(turn[round_] for turn in turns if round_ < len(turn)))
    return list(found)[:count]


def _expand(frame: str) -> Iterator[str]:
    for parts in product(*(part.strip().split("|") for part in frame.split("/"))):
        yield " ".join(" ".join(parts).split())


def _shuffled(rng: np.random.Generator, values: Sequence[str]) -> list[str]:
    return [values[int(i)] for i in rng.permutation(len(values))]
