"""`emoji-motion`: clips of two seconds in which one emoji moves, grows, turns, jumps or stays, with captions, labels and questions.

Pictures: Twemoji. Names: the `emoji` package (Unicode CLDR). What a clip shows follows from (seed, its number) alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from chiasm.config import BuildConfig
from chiasm.modalities.audio import encode_audio
from chiasm.modalities.video import write_video
from chiasm.sources.emoji import CREDITS, LICENCES, require_packages
from chiasm.sources.motion_clip import ACTIONS, FPS, SPEEDS, STILL, Clip, draw_frames, draw_path, places, tone
from chiasm.sources.motion_words import captions, questions
from chiasm.sources.scene_draw import Pictures, read_objects
from chiasm.sources.scene_words import KIND_OF, OBJECTS, pick
from chiasm.sources.source import Progress
from chiasm.types import Label, Media, Record, Rejected

BESIDE = 0.5
"""How often a second object stands still beside the first one."""

_VARIANTS = 6
"""Clips that words tell apart, of one object and action: two speeds at three places, or six places where nothing moves."""


class MotionSource:
    """`clips` clips, 64 × 64 pixels, 16 frames at 8 a second, of the first `objects` kinds of objects in ten actions.

    Every (object, action, speed, place) comes once before any comes again, in random order, so that captions tell clips apart.
    texts: two captions in English, one in German, one in Chinese. audio: where height or size changes, a tone that follows it; no
    sound else. labels: action, object, kind, and speed where something moves. group: object and action; the split *concept* holds
    pairs of the two that training never sees, *variation* unseen clips of pairs that it sees.
    """

    name = "emoji-motion"
    root = None
    rule: Literal["groups", "forms"] = "forms"
    checked = frozenset({"video", "audio"})
    found = ""
    attribution = f"{CREDITS['twemoji']} Names: Unicode CLDR, Unicode License v3."

    def __init__(self, config: BuildConfig) -> None:
        require_packages()
        self._seed = config.seed
        self._total = config.clips if config.limit is None else min(config.clips, config.limit)
        self._names, keys = read_objects(OBJECTS[: config.objects])
        self._pictures = Pictures(keys)

    @property
    def total(self) -> int:
        return self._total

    def prepare(self, progress: Progress | None = None) -> None:
        """Nothing: clips are drawn one by one."""

    def records(self) -> Iterator[Record | Rejected]:
        for index in range(self._total):
            yield self._record(index)

    def _record(self, index: int) -> Record:
        rng = np.random.default_rng([self._seed & (2**64 - 1), 1, index])  # a generator takes no negative seed
        clip = self._choose(rng, index)
        path = draw_path(rng, clip)
        sound = tone(clip, path)
        labels = [("action", clip.action), ("object", clip.name), ("kind", KIND_OF[clip.name]), ("speed", clip.speed)]
        return Record(
            id=f"clip-{self._seed}-{index}",
            texts=captions(rng, clip, self._names),
            audio=() if sound is None else (Media(data=encode_audio(sound), kind="tone"),),
            video=(
                Media(data=write_video(draw_frames(rng, clip, path, self._pictures), FPS), kind="clip", by="twemoji"),
            ),
            labels=tuple(Label(name, value) for name, value in labels if value is not None),
            questions=questions(rng, clip, self._names),
            group=f"{clip.name} {clip.action}",
            source=self.name,
            licence=LICENCES["twemoji"],
        )

    def _choose(self, rng: np.random.Generator, index: int) -> Clip:
        count = len(self._names) * len(ACTIONS) * _VARIANTS
        chosen = int(_order(self._seed, index // count, count)[index % count])
        chosen, variant = divmod(chosen, _VARIANTS)
        number, act = divmod(chosen, len(ACTIONS))
        names, action = list(self._names), ACTIONS[act]
        if action == STILL:
            speed, place = None, places(action)[variant]
        else:
            speed, place = SPEEDS[variant % 2], places(action)[variant // 2]
        others = [name for name in names if name != names[number]]
        return Clip(names[number], action, speed, place, pick(rng, others) if rng.random() < BESIDE else None)


@lru_cache(maxsize=2)
def _order(seed: int, turn: int, count: int) -> NDArray[np.int64]:
    """In which order the clips of a round are made."""
    return np.random.default_rng([seed & (2**64 - 1), 2, turn]).permutation(count)
