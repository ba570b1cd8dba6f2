"""What happens in a clip, frame by frame: one object moves, grows, turns, jumps or stays; and the tone that goes with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from chiasm.modalities.audio import RATE
from chiasm.sources.scene_draw import Pictures, draw_tint

SIDE, FRAMES, FPS = 64, 16, 8
"""Pixels a side, frames of a clip, frames a second."""

ACTIONS = (
    "moves left", "moves right", "moves up", "moves down", "grows", "shrinks",
    "turns clockwise", "turns counter-clockwise", "jumps", "stays still",
)  # fmt: skip
STILL = "stays still"
OPPOSITE: Mapping[str, str] = {
    **dict(zip(ACTIONS[::2], ACTIONS[1::2], strict=True)),
    **dict(zip(ACTIONS[1::2], ACTIONS[::2], strict=True)),
}
"""Of each action the one that is most like it: what a wrong guess would be."""

SPEEDS = ("slow", "fast")
ROWS, COLUMNS = ("top", "centre", "bottom"), ("left", "centre", "right")
CORNERS = ("top left", "top", "top right", "bottom left", "bottom", "bottom right")
"""Where what does not move stands."""

_BIG = (18, 23)
"""The longer side in pixels of what moves or stays: from, to."""
_BESIDE = (13, 16)
"""The longer side of the other object, which is always smaller than the first one is at some time."""
_EDGE = 1
_BAND = {"top": 13, "left": 13, "centre": 32, "bottom": 51, "right": 51}
"""Where on its axis a place's centre is, in pixels; a clip's is up to _JITTER away."""
_JITTER = 2
_WAY = {"slow": (10, 15), "fast": (27, 36)}
"""Pixels between the first and the last frame."""
_SCALED = {"slow": ((20, 22), (28, 30)), "fast": ((12, 14), (33, 35))}
"""The smaller and the larger size of what grows or shrinks."""
_TURNED = {"slow": (70, 110), "fast": (250, 330)}
"""Degrees in a whole clip."""
_JUMPS = {"slow": 1, "fast": 3}
_HEIGHT = (15, 20)
"""Pixels of a jump."""
_LOW, _HIGH = 220.0, 880.0
"""Hertz of a tone at the lower and at the upper edge, or of the largest and the smallest object."""


@dataclass(frozen=True, slots=True)
class Clip:
    """What a clip shows. speed is None where nothing moves; beside is a second object, which always stays still."""

    name: str
    action: str
    speed: str | None
    place: str
    beside: str | None


@dataclass(frozen=True, slots=True)
class Path:
    """Where the object is in each frame: centre x and y and longer side in pixels, float64 [FRAMES] each; degrees clockwise."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    side: NDArray[np.float64]
    angle: NDArray[np.float64]


def places(action: str) -> tuple[str, ...]:
    """The places that are told apart for an action: across its way, or anywhere for what stays."""
    if action == STILL:
        return CORNERS
    return ROWS if action in ("moves left", "moves right") else COLUMNS


def draw_path(rng: np.random.Generator, clip: Clip) -> Path:
    """A way through the clip, at random within what its words say."""
    flat = np.zeros(FRAMES)
    time = np.linspace(0.0, 1.0, FRAMES)
    side = flat + _within(rng, _BIG)
    angle = flat
    x, y = _stand(rng, clip.place)
    speed = clip.speed or "slow"
    low, high = float(side[0]) / 2 + _EDGE, SIDE - float(side[0]) / 2 - _EDGE
    if clip.action.startswith("moves"):
        way = min(_within(rng, _WAY[speed]), high - low)
        start = float(rng.uniform(low, high - way))
        along = start + way * (time if clip.action in ("moves right", "moves down") else 1 - time)
        if clip.action in ("moves left", "moves right"):
            return Path(along, flat + y, side, angle)
        return Path(flat + x, along, side, angle)
    if clip.action in ("grows", "shrinks"):
        small, large = (_within(rng, span) for span in _SCALED[speed])
        side = small + (large - small) * (time if clip.action == "grows" else 1 - time)
    if clip.action.startswith("turns"):
        angle = _within(rng, _TURNED[speed]) * time * (1 if clip.action == "turns clockwise" else -1)
        angle = angle + float(rng.uniform(-20, 20))
    reach = float(side.max()) * (0.7 if clip.action.startswith("turns") else 0.5) + _EDGE
    x, y = (float(np.clip(value, reach, SIDE - reach)) for value in (x, y))
    if clip.action == "jumps":
        height = _within(rng, _HEIGHT)
        ground = float(rng.uniform(low + height, high))
        return Path(flat + x, ground - height * np.abs(np.sin(np.pi * _JUMPS[speed] * time)), side, angle)
    return Path(flat + x, flat + y, side, angle)


def draw_frames(rng: np.random.Generator, clip: Clip, path: Path, pictures: Pictures) -> NDArray[np.uint8]:
    """The clip, uint8 [FRAMES, SIDE, SIDE, 3]. The object beside never lies where the other one comes along."""
    canvas = Image.new("RGB", (SIDE, SIDE), draw_tint(rng))
    shown = [_shown(pictures, clip.name, path, frame) for frame in range(FRAMES)]
    if clip.beside is not None:
        _put_beside(rng, canvas, clip.beside, shown, pictures)
    frames = np.empty((FRAMES, SIDE, SIDE, 3), np.uint8)
    for frame, (picture, corner) in enumerate(shown):
        drawn = canvas.copy()
        drawn.paste(picture, corner, picture)
        frames[frame] = np.asarray(drawn)
    return frames


def tone(clip: Clip, path: Path) -> NDArray[np.float32] | None:
    """What is heard, float32 [2 s at 16 kHz]: a pure tone as high as the object is on the canvas where it moves up or down or jumps, a
    buzzing one as high as the object is small where it grows or shrinks; None for any other action.
    """
    if clip.action in ("moves up", "moves down", "jumps"):
        height = 1 - path.y / SIDE
    elif clip.action in ("grows", "shrinks"):
        height = 1 - (path.side - 12) / (35 - 12)
    else:
        return None
    count = RATE * FRAMES // FPS
    pitch = _LOW * (_HIGH / _LOW) ** np.interp(np.linspace(0, FRAMES - 1, count), np.arange(FRAMES), height)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    wave = np.sin(phase)
    if clip.action in ("grows", "shrinks"):
        wave = 0.6 * wave + 0.3 * np.sin(2 * phase) + 0.2 * np.sin(3 * phase)
    fade = np.minimum(1.0, np.minimum(np.arange(count), np.arange(count)[::-1]) / (RATE // 50))
    return (0.5 * wave * fade).astype(np.float32)


def _within(rng: np.random.Generator, span: tuple[int, int]) -> float:
    return float(rng.uniform(*span))


def _stand(rng: np.random.Generator, place: str) -> tuple[float, float]:
    """A centre at that place: x, y. A place says one coordinate or both; the other one is anywhere."""
    words = place.split()
    free = rng.uniform(_BAND["top"], _BAND["bottom"], 2)
    jitter = rng.uniform(-_JITTER, _JITTER, 2)
    x = next((_BAND[word] + jitter[0] for word in words if word in ("left", "right")), None)
    y = next((_BAND[word] + jitter[1] for word in words if word in ("top", "bottom")), None)
    if place == "centre":
        x, y = _BAND[place] + jitter[0], _BAND[place] + jitter[1]
    if place in ("top", "bottom"):
        x = _BAND["centre"] + jitter[0]
    return float(free[0] if x is None else x), float(free[1] if y is None else y)


def _shown(pictures: Pictures, name: str, path: Path, frame: int) -> tuple[Image.Image, tuple[int, int]]:
    """The object as it is in a frame, and where its left upper corner is."""
    picture = pictures.get(name, round(float(path.side[frame])))
    angle = float(path.angle[frame])
    if angle:
        picture = picture.rotate(-angle, Image.Resampling.BICUBIC, expand=True)
    return picture, (round(path.x[frame] - picture.width / 2), round(path.y[frame] - picture.height / 2))


def _put_beside(
    rng: np.random.Generator,
    canvas: Image.Image,
    name: str,
    shown: Sequence[tuple[Image.Image, tuple[int, int]]],
    pictures: Pictures,
) -> None:
    """Draw the second object at a random place that stays free, smaller where there is no other room."""
    taken = np.zeros((SIDE + 1, SIDE + 1), np.int32)
    for picture, (x, y) in shown:
        taken[max(y, 0) + 1 : y + picture.height + 1, max(x, 0) + 1 : x + picture.width + 1] = 1
    sums = taken.cumsum(0).cumsum(1)
    for side in range(round(_within(rng, _BESIDE)), 7, -1):
        picture = pictures.get(name, side)
        w, h = picture.size
        covered = sums[h:, w:] - sums[:-h, w:] - sums[h:, :-w] + sums[:-h, :-w]
        rows, columns = np.nonzero(covered == 0)
        if len(rows):
            chosen = int(rng.integers(len(rows)))
            canvas.paste(picture, (int(columns[chosen]), int(rows[chosen])), picture)
            return
    raise AssertionError("an object of 35 pixels leaves room for one of 8 beside it")
