"""Changes to pictures that mostly leave what they show alone: RandAugment's operations, and two pictures mixed into one.

Letters: H, W the sides of a picture, uint8 [H, W, 3]. Every number that is random comes from the generator that is handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps

Picture = NDArray[np.uint8]
Change = Callable[[Image.Image, float], Image.Image]

LEVELS = 30
"""Magnitudes go from 0 to this, as in the paper's code."""


def _enhanced(kind: Callable[[Image.Image], ImageEnhance._Enhance]) -> Change:  # pyright: ignore[reportPrivateUsage]
    return lambda picture, level: kind(picture).enhance(1 + 0.9 * level)


def _moved(matrix: Callable[[float, int, int], tuple[float, ...]]) -> Change:
    def change(picture: Image.Image, level: float) -> Image.Image:
        return picture.transform(
            picture.size,
            Image.Transform.AFFINE,
            matrix(level, *picture.size),
            Image.Resampling.BILINEAR,
            fillcolor=_border(picture),
        )

    return change


OPERATIONS: Mapping[str, Change] = {
    "identity": lambda picture, level: picture,
    "autocontrast": lambda picture, level: ImageOps.autocontrast(picture),
    "equalize": lambda picture, level: ImageOps.equalize(picture),
    "rotate": lambda picture, level: picture.rotate(30 * level, Image.Resampling.BILINEAR, fillcolor=_border(picture)),
    "solarize": lambda picture, level: ImageOps.solarize(picture, round(256 * (1 - abs(level)))),
    "posterize": lambda picture, level: ImageOps.posterize(picture, 8 - round(4 * abs(level))),
    "color": _enhanced(ImageEnhance.Color),
    "contrast": _enhanced(ImageEnhance.Contrast),
    "brightness": _enhanced(ImageEnhance.Brightness),
    "sharpness": _enhanced(ImageEnhance.Sharpness),
    "shear_x": _moved(lambda level, w, h: (1, 0.3 * level, -0.15 * level * h, 0, 1, 0)),
    "shear_y": _moved(lambda level, w, h: (1, 0, 0, 0.3 * level, 1, -0.15 * level * w)),
    "translate_x": _moved(lambda level, w, h: (1, 0, 0.3 * level * w, 0, 1, 0)),
    "translate_y": _moved(lambda level, w, h: (1, 0, 0, 0, 1, 0.3 * level * h)),
}
"""The fourteen operations of RandAugment (Cubuk et al. 2019, arXiv 1909.13719, section 3) with its ranges, at a level −1 … 1 of the greatest
change. What moves in has the colour of the picture's border, where the paper's code has grey: drawings stand on white."""
COLOURS = (
    "identity", "autocontrast", "equalize", "solarize", "posterize", "color", "contrast", "brightness", "sharpness",
)  # fmt: skip
"""Those that leave everything in its place, as boxes and masks need it."""


def draw_operations(u: NDArray[np.float64], magnitude: float, choices: Sequence[str]) -> tuple[tuple[str, float], ...]:
    """u: uniform [2 · count] → `count` pairs of operation and level (the same for all frames of a clip)."""
    names = [choices[int(one * len(choices))] for one in u[: len(u) // 2]]
    return tuple(
        (name, (-1 if one < 0.5 else 1) * magnitude / LEVELS) for name, one in zip(names, u[len(u) // 2 :], strict=True)
    )


def apply_operations(picture: Picture, operations: Sequence[tuple[str, float]]) -> Picture:
    """The operations one after the other."""
    image = Image.fromarray(picture)
    for name, level in operations:
        image = OPERATIONS[name](image, level)
    return np.asarray(image, np.uint8)


def mix_up(picture: Picture, other: Picture, share: float) -> Picture:
    """`share` of the picture and the rest of the other, which is brought to its sides (mixup, Zhang et al. 2018, arXiv 1710.09412)."""
    blended = share * picture.astype(np.float32) + (1 - share) * _sized(other, picture).astype(np.float32)
    return np.rint(blended).astype(np.uint8)


def cut_mix(picture: Picture, other: Picture, share: float, rng: np.random.Generator) -> Picture:
    """The picture with a rectangle of the other, of 1 − `share` of the area, in the same place (CutMix, Yun et al. 2019, arXiv 1905.04899,
    equation 2)."""
    H, W = picture.shape[:2]
    side = (1 - share) ** 0.5
    h, w = round(side * H), round(side * W)
    y, x = int(rng.integers(0, H - h + 1)), int(rng.integers(0, W - w + 1))
    out = picture.copy()
    out[y : y + h, x : x + w] = _sized(other, picture)[y : y + h, x : x + w]
    return out


def _sized(other: Picture, picture: Picture) -> Picture:
    if other.shape == picture.shape:
        return other
    size = (picture.shape[1], picture.shape[0])
    return np.asarray(Image.fromarray(other).resize(size, Image.Resampling.BILINEAR), np.uint8)


def _border(picture: Image.Image) -> tuple[int, int, int]:
    """The median colour of the outermost pixels."""
    pixels = np.asarray(picture)
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    red, green, blue = np.median(edge, axis=0).astype(int).tolist()
    return red, green, blue
