"""`emoji-dialogue`: questions in turns about one or two scenes; a later one needs what was said and seen before it; some are spoken.

Pictures: Twemoji. Names: the `emoji` package (Unicode CLDR). Speech: eSpeak NG. What a dialogue holds follows from (seed, its number).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from chiasm.config import BuildConfig
from chiasm.sources.dialogue_turns import FORMS, FRESH, Meaning, Planned, Talk, View, options, plan, say, utterances
from chiasm.sources.emoji import CREDITS, LICENCES, VOICES, require_packages
from chiasm.sources.scene_draw import Pictures, Scene, compose, read_objects
from chiasm.sources.scene_words import OBJECTS, pick
from chiasm.sources.source import Progress
from chiasm.sources.speech import Speech, speak
from chiasm.types import Label, Media, Question, Record, Rejected

TURNS = (3, 5)
"""The fewest and the most turns of a dialogue."""

COUNTS = {2: 0.3, 3: 0.4, 4: 0.3}
"""How likely a scene of so many objects is."""

FLIPPED = 0.3
"""How likely an object is upside-down."""

ANOTHER = 0.5
"""How often a second picture comes in a later turn."""

SPOKEN = 1 / 3
"""Share of the turns that are spoken as well."""

_TRIES = 400
"""Pictures looked at for one plan, before another plan is made."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A question with its answer. kind: of FORMS; meaning: what it asks without pronouns; picture: the number of the one it is about."""

    kind: str
    question: str
    answer: str
    meaning: Meaning
    picture: int


class DialogueSource:
    """`dialogues` dialogues of three to five turns about scenes of two to four of the first `objects` kinds of objects; 96 × 96 PNG.

    questions: the turns in order. image: kind "turn:0", and in half of the dialogues another one that comes with a later turn.
    audio: about a third of the questions, spoken by one voice a dialogue, kind "turn:k"; `voices` chooses among the English ones.
    boxes, mask: of the first picture. labels: turns, pictures, and `last`, what kind of question the last one is.
    group: the kinds of objects in the first picture.
    """

    name = "emoji-dialogue"
    root = None
    rule: Literal["groups", "forms"] = "groups"
    checked = frozenset({"image", "audio"})
    found = ""

    def __init__(self, config: BuildConfig) -> None:
        require_packages()
        self._seed, self._workers = config.seed, config.workers
        self._total = config.dialogues if config.limit is None else min(config.dialogues, config.limit)
        self._names, keys = read_objects(OBJECTS[: config.objects])
        self._pictures = Pictures(keys)
        voices = VOICES if config.voices is None else config.voices
        self._voices = tuple(voice for voice in voices if voice.startswith("en"))
        self._speech: dict[str, Speech] = {}

    @property
    def attribution(self) -> str:
        speech = " Speech: synthesised with eSpeak NG." if self._voices else ""
        return f"{CREDITS['twemoji']} Names: Unicode CLDR, Unicode License v3.{speech}"

    @property
    def total(self) -> int:
        return self._total

    def prepare(self, progress: Progress | None = None) -> None:
        """Speak every question there can be, as far as the cache does not hold them."""
        texts = utterances(list(self._names))
        self._speech = speak(dict.fromkeys(self._voices, texts), workers=self._workers, progress=progress)

    def records(self) -> Iterator[Record | Rejected]:
        for index in range(self._total):
            yield self._record(index)

    def _record(self, index: int) -> Record:
        rng = np.random.default_rng([self._seed & (2**64 - 1), 3, index])  # a generator takes no negative seed
        count = int(rng.integers(TURNS[0], TURNS[1] + 1))
        fresh = int(rng.integers(1, count)) if rng.random() < ANOTHER else None
        turns, scenes = self._talk(rng, count, fresh)
        first = scenes[0]
        arrives = (0,) if fresh is None else (0, fresh)
        labels = {"turns": str(count), "pictures": str(len(scenes)), "last": turns[-1].kind}
        return Record(
            id=f"dialogue-{self._seed}-{index}",
            image=tuple(
                Media(data=scene.draw(), kind=f"turn:{turn}", by="twemoji")
                for turn, scene in zip(arrives, scenes, strict=True)
            ),
            audio=tuple(self._spoken(rng, turns)),
            labels=tuple(Label(name, value) for name, value in labels.items()),
            boxes=first.boxes(),
            mask=Media(data=first.mask()),
            questions=tuple(Question(turn.question, (turn.answer,), "en") for turn in turns),
            group=" ".join(sorted(thing.name for thing in first.things)),
            source=self.name,
            licence=LICENCES["twemoji"],
        )

    def _talk(self, rng: np.random.Generator, count: int, fresh: int | None) -> tuple[list[Turn], list[Scene]]:
        """A plan, and the first pictures that fit it; another plan where none does."""
        while True:
            planned = plan(rng, count, fresh)
            for _ in range(_TRIES):
                found = self._try(rng, planned)
                if found is not None:
                    return found

    def _try(self, rng: np.random.Generator, planned: Sequence[Planned]) -> tuple[list[Turn], list[Scene]] | None:
        names = list(self._names)
        scenes = [self._scene(rng, None)]
        view, before = View.of(scenes[0].things), None
        turns: list[Turn] = []
        talk = Talk()
        for turn in planned:
            if turn.kind in FRESH:
                scenes.append(self._scene(rng, _shown_again(rng, turn, talk, view)))
                before, view, talk = view, View.of(scenes[-1].things), talk.another()
            found = options(turn, talk, view, before, names)
            if not found:
                return None
            meaning, said = pick(rng, found)
            turns.append(Turn(turn.kind, say(pick(rng, FORMS[turn.kind]), meaning), said, meaning, len(scenes) - 1))
            talk = talk.after(meaning, said)
        return turns, scenes

    def _scene(self, rng: np.random.Generator, wanted: str | None) -> Scene:
        """A scene that holds `wanted`, if that is a name."""
        names = list(self._names)
        count = int(rng.choice(list(COUNTS), p=list(COUNTS.values())))
        kinds = [names[kind] for kind in rng.choice(len(names), count, replace=False)]
        if wanted is not None and wanted not in kinds:
            kinds[int(rng.integers(count))] = wanted
        return compose(rng, kinds, self._pictures, FLIPPED)

    def _spoken(self, rng: np.random.Generator, turns: Sequence[Turn]) -> Iterator[Media]:
        chosen = rng.random(len(turns)) < SPOKEN
        voice = pick(rng, self._voices) if self._voices else None
        for number, turn in enumerate(turns):
            if chosen[number] and voice is not None:
                data = self._speech[voice][turn.question]
                yield Media(data, kind=f"turn:{number}", language="en", by=voice, text=turn.question)


def _shown_again(rng: np.random.Generator, turn: Planned, talk: Talk, view: View) -> str | None:
    """What another picture has to show again for its question to have the planned answer."""
    if turn.kind == "kept":
        return pick(rng, view.names)
    if turn.kind == "too":
        return talk.it if turn.true else None
    if turn.kind == "again":
        return (talk.last.name or None) if turn.true or talk.last.kind != "there" else None
    return None
