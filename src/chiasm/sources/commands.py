"""`spoken-commands`: what people ask a small voice assistant, in many phrasings and several voices.

The words are command_words.py's; speech: eSpeak NG.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np

from chiasm.config import BuildConfig
from chiasm.errors import ConfigError
from chiasm.sources.command_words import GRAMMAR, SLOTS, phrasings
from chiasm.sources.source import Progress
from chiasm.sources.speech import Speech, speak
from chiasm.types import Label, Media, Record, Rejected, Text

VOICES = ("en-us", "en-gb-x-rp+f3", "en-us+f2", "en-gb-x-rp+m4", "en-gb-scotland+m3")
HELD_OUT_VOICE = "en-gb-scotland+m3"
"""Of VOICES, the one that runs are meant to hold out (data.held_out_makers)."""

EACH = 30
"""Records of an intent: phrasings, or half as many in two fillings of their slot each."""
FILLINGS = 2

_SLOT = re.compile(r"\{(\w+)\}")


class _Command(NamedTuple):
    intent: str
    phrasing: str
    slot: tuple[str, str] | None
    words: str


class CommandSource:
    """14 intents, 30 commands each, spoken by every voice.

    texts: the words (transcript). audio: one a voice, `text` what is said. labels: intent, and slot_NAME where there is one.
    group: the phrasing. split: prescribed, so that every intent has phrasings in test (the share `test` of them, 3 at least) and in
    validation (1 at least) that training never hears; it hears each of their words, though, in other phrasings of the intent.
    """

    name = "spoken-commands"
    root = None
    rule: Literal["groups", "forms"] = "groups"
    checked = frozenset({"audio"})
    found = ""
    attribution = "Speech: synthesised with eSpeak NG."

    def __init__(self, config: BuildConfig) -> None:
        self._voices = VOICES if config.voices is None else config.voices
        if not self._voices or any(re.split("[-+]", voice)[0] != "en" for voice in self._voices):
            named = ", ".join(self._voices) or "(none)"
            raise ConfigError(f"voices: {named}: the commands are English; name voices that begin with en")
        self._seed, self._workers, self._limit = config.seed, config.workers, config.limit
        self._shares = (("test", config.test, 3), ("validation", config.validation, 1))
        self._speech: dict[str, Speech] = {}

    @cached_property
    def _commands(self) -> list[_Command]:
        """Fillings go round, so that each value is about as frequent as another."""
        turn = dict.fromkeys(SLOTS, 0)
        commands: list[_Command] = []
        for intent in GRAMMAR:
            for phrasing in phrasings(intent, EACH):
                found = _SLOT.search(phrasing)
                if found is None:
                    commands.append(_Command(intent, phrasing, None, phrasing))
                    continue
                if sum(command.intent == intent for command in commands) >= EACH:
                    break
                name = found[1]
                for _ in range(FILLINGS):
                    value = SLOTS[name][turn[name] % len(SLOTS[name])]
                    turn[name] += 1
                    commands.append(_Command(intent, phrasing, (name, value), phrasing.replace(found[0], value)))
        return commands

    @property
    def total(self) -> int:
        return len(self._commands)

    def prepare(self, progress: Progress | None = None) -> None:
        """Speak the commands, as far as the cache does not hold them."""
        words = [command.words for command in self._commands]
        self._speech = speak(
            dict.fromkeys(self._voices, words), first=self._limit, workers=self._workers, progress=progress
        )

    def records(self) -> Iterator[Record | Rejected]:
        said: dict[str, list[str]] = {}
        for command in self._commands:
            said.setdefault(command.intent, []).append(command.phrasing)
        splits = {intent: self._splits(intent, list(dict.fromkeys(found))) for intent, found in said.items()}
        for number, (intent, phrasing, slot, words) in enumerate(self._commands):
            audio = [
                Media(data=data, kind="speech", language="en", by=voice, text=words)
                for voice in self._voices
                if (data := self._speech[voice].get(words)) is not None
            ]
            yield Record(
                id=f"command-{number}",
                texts=(Text(words, "en", "transcript"),),
                audio=tuple(audio),
                labels=(Label("intent", intent), *(() if slot is None else (Label(f"slot_{slot[0]}", slot[1]),))),
                group=f"{intent}: {phrasing}",
                split=splits[intent][phrasing],
                source=self.name,
            )

    def _splits(self, intent: str, found: Sequence[str]) -> dict[str, str]:
        """The split of each phrasing of one intent, drawn by (seed, intent)."""
        rng = np.random.default_rng([self._seed & (2**64 - 1), *intent.encode()])
        chosen: dict[str, str] = dict.fromkeys(found, "train")
        for split, share, least in self._shares:
            wanted = max(least, math.ceil(share * len(found))) if share else 0
            for phrasing in (found[int(i)] for i in rng.permutation(len(found))):
                train = [other for other, to in chosen.items() if to == "train" and other != phrasing]
                known = {word for other in train for word in other.split()}
                # Whatever is asked for, half of the phrasings stay to learn from, with all the words.
                enough = 2 * len(train) >= len(found) and known >= set(phrasing.split())
                if wanted and chosen[phrasing] == "train" and enough:
                    chosen[phrasing] = split
                    wanted -= 1
        return chosen
