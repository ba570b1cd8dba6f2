"""What lies where in a scene: objects that do not overlap, and the relations that hold between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

SIDE = 96
"""Pixels a side of a scene."""

PREDICATES = ("left of", "right of", "above", "below")
OPPOSITE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}

_GAP = 2
"""Pixels that at least lie between two objects, and half of them between an object and the edge."""

_CLEAR = 1.5
"""How many times farther along one axis than along the other two centres must lie apart for the relation to be named."""

_TRIES = 64


@dataclass(frozen=True, slots=True)
class Thing:
    """One object as drawn. box: x0, y0, x1, y1 in pixels, tight; x1 and y1 are the first ones outside."""

    name: str
    big: bool
    upside_down: bool
    box: tuple[int, int, int, int]


Pair = tuple[int, int]
Relations = Mapping[Pair, str]
"""(subject, object), by their places in the scene → predicate. A pair is in it in both directions, or not at all."""


def place(rng: np.random.Generator, sizes: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Left upper corners for boxes of these widths and heights, apart from each other; of several boxes at least one pair
    has a clear relation. Whole layouts are drawn at random until one fits, so that no place is favoured but by what fits.
    """
    size = np.asarray(sizes, np.int64)
    room = SIDE - size - _GAP + 1
    first, second = np.triu_indices(len(sizes), 1)
    while True:  # one big and three small boxes fit: a try succeeds sooner or later
        corner = rng.integers(0, room, (_TRIES, *size.shape)) + _GAP // 2
        apart = (corner[:, first] + size[first] + _GAP <= corner[:, second]) | (
            corner[:, second] + size[second] + _GAP <= corner[:, first]
        )
        good = apart.any(-1).all(-1)
        if len(sizes) > 1:
            centre = corner + size / 2
            step = np.abs(centre[:, first] - centre[:, second])
            good &= (step.max(-1) >= _CLEAR * step.min(-1)).any(-1)
        if good.any():
            return [(int(x), int(y)) for x, y in corner[good.argmax()]]


def relate(things: Sequence[Thing]) -> dict[Pair, str]:
    """The predicate of every pair of things whose centres lie clearly along one axis."""
    found: dict[Pair, str] = {}
    for i, subject in enumerate(things):
        for j, other in enumerate(things):
            right, down = _step(other, subject)
            if i == j or not max(abs(right), abs(down)) >= _CLEAR * min(abs(right), abs(down)):
                continue
            if abs(right) > abs(down):
                found[i, j] = "right of" if right > 0 else "left of"
            else:
                found[i, j] = "below" if down > 0 else "above"
    return found


def only_one(things: Sequence[Thing], relations: Relations, predicate: str, anchor: int) -> int | None:
    """The one thing that stands in that relation to the thing at `anchor`; None where there is none or several, or where
    another lies diagonally on that side, so that people might disagree.
    """
    found = [i for (i, j), known in relations.items() if j == anchor and known == predicate]
    for i, thing in enumerate(things):
        if i != anchor and (i, anchor) not in relations:
            right, down = _step(things[anchor], thing)
            if {"left of": -right, "right of": right, "above": -down, "below": down}[predicate] > 0:
                return None
    return found[0] if len(found) == 1 else None


def _step(start: Thing, end: Thing) -> tuple[float, float]:
    """From centre to centre, in pixels to the right and down."""
    a, b = start.box, end.box
    return (b[0] + b[2] - a[0] - a[2]) / 2, (b[1] + b[3] - a[1] - a[3]) / 2
