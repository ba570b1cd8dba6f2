"""Whether two pictures, sounds or texts really are copies with small changes: seen from the contents, for pairs whose signatures are near."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chiasm.dataset.signatures import DECIBEL, LOUD, WINDOWS, axis_parts, cells, intervals, loud_part, windows

THUMB = 64
"""Side in pixels at which pictures are compared."""
_LAG = 3
"""Frames of 10 ms by which sounds are moved against each other, beside what their lengths differ by."""
_COARSE, _FINE = 12, 24
_SURE, _HOPELESS = 10.0, 20.0
"""Grey levels below which the other way round need not be tried, and above which no fitting helps (168 copies that were cut or encoded anew:
at most 12.5)."""
_FAINT = 8.0
"""Grey levels a pixel up to which edges may be the encoder's noise."""
_ROUNDS = (0.02, 0.01, 0.005, 0.003)
"""Steps by which a part is moved and sized until it fits best, as fractions of the picture's sides."""


@dataclass(frozen=True, slots=True)
class PictureError:
    """How far two pictures are apart where they fit best, in grey levels of 255 over 24 × 24 cells.

    mean: of all cells · worst: of the worst 3 × 3 cells, where one has what the other lacks · contrast: of the 3 × 3 cells that differ most from
    the picture's median colour, what there is to see at all · spread: the mean difference from it · detail: the largest share by which the
    edges of 3 × 3 cells differ, 0 … 1: lines, grids and borders that one has and the other lacks.
    """

    mean: float
    worst: float
    contrast: float
    spread: float
    detail: float


def picture_error(one: NDArray[np.float32], other: NDArray[np.float32]) -> PictureError:
    """The error of two pictures, float32 [h, w, 3] in 0 … 255 at THUMB, where either may be a part of the other (signatures.windows)."""
    found = _fit(one, other)
    if found.worst < _SURE:
        return found
    return min(found, _fit(other, one), key=lambda error: error.worst)


def _fit(whole: NDArray[np.float32], part: NDArray[np.float32]) -> PictureError:
    """`part` against the part of `whole` that is most like it."""
    high, wide = whole.shape[:2]
    columns, rows = np.array(WINDOWS) % 10, np.array(WINDOWS) // 10
    coarse = _parts(whole, axis_parts(high, _COARSE), axis_parts(wide, _COARSE))[rows, columns]
    apart = np.abs(coarse - _whole(part, _COARSE)).mean(axis=(1, 2, 3))
    x, y, side = windows()[int(apart.argmin())]
    fine = _whole(part, _FINE)
    best = np.abs(_parts(whole, *_axes(whole, [x], [y], side))[0, 0] - fine)
    for step in _ROUNDS if apart.min() < _HOPELESS else ():
        moves = np.array([-step, 0.0, step])
        left, top, size = x, y, side
        for longer in moves:
            # Grown or shrunk around its middle, then moved; never out of the whole.
            length = min(1.0, size + longer)
            xs = np.clip(left - longer / 2 + moves, 0.0, 1.0 - length)
            ys = np.clip(top - longer / 2 + moves, 0.0, 1.0 - length)
            errors = np.abs(_parts(whole, *_axes(whole, xs, ys, length)) - fine)
            row, column = divmod(int(errors.mean(axis=(2, 3, 4)).argmin()), 3)
            if errors[row, column].mean() < best.mean():
                best, x, y, side = errors[row, column], float(xs[column]), float(ys[row]), length
    flat = np.abs(fine - np.median(fine, axis=(0, 1)))
    mine = _boxes(_parts(_edges(whole), *_axes(whole, [x], [y], side))[0, 0])
    other = _boxes(_whole(_edges(part), _FINE))
    detail = float((np.abs(mine - other) / (mine + other + _FAINT)).max())
    return PictureError(float(best.mean()), _worst(best), _worst(flat), float(flat.mean()), detail)


def _axes(
    whole: NDArray[np.float32], xs: ArrayLike, ys: ArrayLike, side: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    high, wide = whole.shape[:2]
    starts = np.asarray(ys, np.float64), np.asarray(xs, np.float64)
    return (
        intervals(high, _FINE, starts[0], np.full(len(starts[0]), side)),
        intervals(wide, _FINE, starts[1], np.full(len(starts[1]), side)),
    )


def _parts(whole: NDArray[np.float32], rows: NDArray[np.float32], columns: NDArray[np.float32]) -> NDArray[np.float32]:
    """[h, w, 3] by rows [K, C, h] and columns [L, C, w] → [K, L, C, C, 3]: every part's C × C cells."""
    high, wide, colours = whole.shape
    count = rows.shape[1]
    across = (rows.reshape(-1, high) @ whole.reshape(high, -1)).reshape(-1, wide, colours)
    both = columns.reshape(-1, wide) @ across
    cut = both.reshape(len(rows), count, len(columns), count, colours).transpose(0, 2, 1, 3, 4)
    return cut.astype(np.float32, copy=False)


def _whole(pixels: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    return _parts(pixels, cells(pixels.shape[0], count)[None], cells(pixels.shape[1], count)[None])[0, 0]


def _worst(errors: NDArray[np.float32]) -> float:
    return float(_boxes(errors).max())


def _boxes(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean over every 3 × 3 cells and all colours of [C, C, K]."""
    return np.lib.stride_tricks.sliding_window_view(values.mean(axis=2), (3, 3)).mean(axis=(2, 3))


def _edges(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """How much the brightness changes at each pixel of [h, w, 3], downwards and to the right: [h, w, 1]."""
    levels = pixels.mean(axis=2)
    steps = np.abs(np.diff(levels, axis=0, prepend=levels[:1])) + np.abs(np.diff(levels, axis=1, prepend=levels[:, :1]))
    return steps[..., None]


_NUMBERS = re.compile(r"\d+")


def same_numbers(one: str, other: str) -> bool:
    """Whether both texts have the same numbers in the same order: "apollo 11" is no copy of "apollo 12"."""
    return _NUMBERS.findall(one) == _NUMBERS.findall(other)


def sound_error(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Mean difference in dB of two sounds' log-mel spectrograms (uint8 [T, M] of modalities.audio.log_mel) where they fit best, without what
    their levels differ by; over frames and bands within 40 dB of the loudest of either. Infinite where their lengths differ by more than a tenth.
    """
    a, b = (loud_part(mel).astype(np.float32) * DECIBEL for mel in (one, other))
    if len(a) > len(b):
        a, b = b, a
    if len(b) - len(a) > max(5, len(b) // 10):
        return float("inf")
    slack = len(b) - len(a) + _LAG
    padded = np.pad(b, ((_LAG, _LAG), (0, 0)), mode="edge")
    return min(_apart(a, padded[start : start + len(a)]) for start in range(slack + _LAG + 1))


def _apart(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    loud = np.maximum(a - a.max(), b - b.max()) > -LOUD
    difference = (a - b)[loud]
    return float(np.abs(difference - np.median(difference)).mean())
