"""`emoji-scenes`: several real pictures on one canvas, with exact boxes, relations, captions, and questions with answers.

Pictures: Twemoji. Names: the `emoji` package (Unicode CLDR). Everything else is drawn at random from (seed, number of the scene).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np

from chiasm.config import BuildConfig
from chiasm.sources.emoji import CREDITS, LICENCES, require_packages
from chiasm.sources.scene_draw import Pictures, compose, read_objects
from chiasm.sources.scene_layout import Thing, relate
from chiasm.sources.scene_questions import questions
from chiasm.sources.scene_words import KIND_OF, OBJECTS, captions
from chiasm.sources.source import Progress
from chiasm.types import Label, Media, Record, Rejected, Relation

COUNTS = (0.16, 0.28, 0.28, 0.28)
"""How likely a scene of one, two, three and four objects is."""

FLIPPED = 0.13
"""How likely an object is upside-down, that is, turned by half a turn."""


class SceneSource:
    """`scenes` scenes of one to four of the first `objects` kinds of objects, each kind at most once in a scene; 96 × 96 PNG.

    In a scene of several objects one is big and the others are small. boxes: tight, one an object. mask: what is
    drawn of each, to the pixel. relations: of every pair that
    is not near a diagonal, in both directions, and ("cat", "is", "big" | "small" | "upside-down").
    labels: count, kind (of the biggest object), biggest (where there are several). texts: two captions in English, then one in
    each other language. group: the kinds of objects in the scene.
    """

    name = "emoji-scenes"
    root = None
    rule: Literal["groups", "forms"] = "groups"
    checked = frozenset({"image"})
    found = ""
    attribution = f"{CREDITS['twemoji']} Names: Unicode CLDR, Unicode License v3."

    def __init__(self, config: BuildConfig) -> None:
        require_packages()
        self._seed = config.seed
        self._total = config.scenes if config.limit is None else min(config.scenes, config.limit)
        self._names, keys = read_objects(OBJECTS[: config.objects])
        self._pictures = Pictures(keys)

    @property
    def total(self) -> int:
        return self._total

    def prepare(self, progress: Progress | None = None) -> None:
        """Nothing: pictures are scaled as they are needed."""

    def records(self) -> Iterator[Record | Rejected]:
        for index in range(self._total):
            yield self._scene(index)

    def _scene(self, index: int) -> Record:
        rng = np.random.default_rng([self._seed & (2**64 - 1), index])  # a generator takes no negative seed
        count = 1 + int(rng.choice(len(COUNTS), p=COUNTS))
        names = list(self._names)
        kinds = [names[kind] for kind in rng.choice(len(names), count, replace=False)]
        scene = compose(rng, kinds, self._pictures, FLIPPED)
        things = scene.things
        relations = relate(things)
        named = [Relation(things[i].name, predicate, things[j].name) for (i, j), predicate in relations.items()]
        sizes = [Relation(thing.name, "is", "big" if thing.big else "small") for thing in things]
        turned = [Relation(thing.name, "is", "upside-down") for thing in things if thing.upside_down]
        return Record(
            id=f"scene-{self._seed}-{index}",
            texts=captions(rng, things, relations, self._names),
            image=(Media(data=scene.draw(), kind="picture", by="twemoji"),),
            labels=_labels(things),
            boxes=scene.boxes(),
            mask=Media(data=scene.mask()),
            questions=questions(rng, things, relations, self._names, FLIPPED),
            relations=(*named, *sizes, *turned),
            group=" ".join(sorted(thing.name for thing in things)),
            source=self.name,
            licence=LICENCES["twemoji"],
        )


def _labels(things: Sequence[Thing]) -> tuple[Label, ...]:
    main = next((thing for thing in things if thing.big), things[0])
    labels = (Label("count", str(len(things))), Label("kind", KIND_OF[main.name]))
    return (*labels, Label("biggest", main.name)) if len(things) > 1 else labels
