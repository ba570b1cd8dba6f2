"""Two views of one picture: crops, colours and blur on whole batches, from numbers that are handed in.

Everything is linear until the one clip at the end: crop and mirror are one product of matrices, brightness, contrast, saturation, hue and grey one
affine map of a picture's colours, blur another product. So a batch of two views costs milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from chiasm.modalities.crop import crop_resize

Floats = NDArray[np.float32]
Pictures = NDArray[np.uint8]
Uniform = NDArray[np.float64]

VIEW_DRAWS = 14

RecipeName = Literal["simclr", "cifar", "moco_v1", "moco_v2", "crop_flip"]


@dataclass(frozen=True)
class Recipe:
    """area: smallest share of the picture that a crop may hold · jitter, grey, blur: how often each is done · brightness, contrast, saturation:
    the most by which the factor differs from 1 · hue: the most it turns, in full turns. Half of all views are mirrored."""

    area: float
    jitter: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    grey: float = 0.0
    blur: float = 0.0


RECIPES: dict[RecipeName, Recipe] = {
    # SimCLR, arXiv 2002.05709, appendix A at strength 1; for CIFAR (B.9) strength 0.5 and no blur.
    "simclr": Recipe(0.08, 0.8, 0.8, 0.8, 0.8, 0.2, 0.2, 0.5),
    "cifar": Recipe(0.08, 0.8, 0.4, 0.4, 0.4, 0.1, 0.2),
    # MoCo, arXiv 1911.05722, 3.3 (every view jittered), and MoCo v2, arXiv 2003.04297.
    "moco_v1": Recipe(0.2, 1.0, 0.4, 0.4, 0.4, 0.4, 0.2),
    "moco_v2": Recipe(0.2, 0.8, 0.4, 0.4, 0.4, 0.1, 0.2, 0.5),
    # For supervised training: the Inception crop (arXiv 1409.4842, 6), milder, since small pictures lose their object sooner.
    "crop_flip": Recipe(0.25),
}

GREY = np.array([0.299, 0.587, 0.114])
"""Luma of red, green and blue (ITU-R BT.601)."""
_TO_YIQ = np.array([GREY, [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
_FROM_YIQ = np.linalg.inv(_TO_YIQ)
_ORDERS = np.array(list(permutations(range(4))))


def augment_view(x: Pictures, u: Uniform, recipe: Recipe) -> Pictures:
    """x: [B, S, S, 3]; u: uniform [B, VIEW_DRAWS] → one view of each, the same shape.

    Differs from the papers' code in two small ways: hue turns in YIQ, which keeps the luma, and not in HSV; and colours are clipped once, after
    all changes.
    """
    boxes = random_crop(u[:, :4], recipe.area)[:, None]
    view = crop_resize(x, boxes, x.shape[1], u[:, 4:5] < 0.5)[:, 0]
    if recipe.jitter > 0 or recipe.grey > 0:
        gain, shift = _colours(view.mean((1, 2), dtype=np.float64), u[:, 5:12], recipe)
        view = (view.reshape(len(x), -1, 3) @ gain.swapaxes(1, 2) + shift[:, None]).reshape(x.shape)
    view = np.clip(view, 0, 255)
    if recipe.blur > 0:
        blurred = u[:, 12] < recipe.blur
        view[blurred] = _blur(view[blurred], 0.1 + 1.9 * u[blurred, 13])
    return np.rint(view).astype(np.uint8)


def random_crop(u: Uniform, area: float) -> Floats:
    """u: uniform [B, 4] → boxes [B, 4] inside the picture: a share of the area drawn evenly from `area` … 1, and a ratio of the sides drawn
    log-evenly from 3/4 … 4/3, as far as such a box fits (where the papers' code draws again until it does)."""
    share = area + (1 - area) * u[:, 0]
    widest = np.minimum(np.log(4 / 3), -np.log(share))
    ratio = np.exp((2 * u[:, 1] - 1) * widest)
    size = np.minimum(np.sqrt(np.stack([share * ratio, share / ratio], 1)), 1)
    corner = u[:, 2:4] * (1 - size)
    return np.concatenate([corner, corner + size], 1).astype(np.float32)


def _colours(mean: Uniform, u: Uniform, recipe: Recipe) -> tuple[Floats, Floats]:
    """mean: colours of the pictures [B, 3]; u: [B, 7] → gain [B, 3, 3] and shift [B, 3] of: brightness, contrast, saturation and hue in an order
    drawn for each picture, then grey.

    Each change is affine, and the mean that contrast is measured from follows from the changes before it.
    """
    eye, grey = np.eye(3), np.tile(GREY, (3, 1))
    spread = np.array([recipe.brightness, recipe.contrast, recipe.saturation])
    factor = np.maximum(1 + (2 * u[:, :3] - 1) * spread, 0).T[..., None, None]
    hue = _FROM_YIQ @ _turns((2 * u[:, 3] - 1) * recipe.hue) @ _TO_YIQ
    changes = np.stack([factor[0] * eye, factor[1] * eye, factor[2] * eye + (1 - factor[2]) * grey, hue])
    gain, shift = np.tile(eye, (len(mean), 1, 1)), np.zeros_like(mean)
    for change in _ORDERS[(u[:, 4] * len(_ORDERS)).astype(np.int64)].T:
        luma = (np.einsum("bij,bj->bi", gain, mean) + shift) @ GREY
        step = changes[change, np.arange(len(mean))]
        gain, shift = step @ gain, np.einsum("bij,bj->bi", step, shift)
        # Contrast pulls towards the grey of the picture's mean.
        shift += np.where(change == 1, (1 - factor[1, :, 0, 0]) * luma, 0)[:, None]
    idle, dull = u[:, 5] >= recipe.jitter, u[:, 6] < recipe.grey
    gain[idle], shift[idle] = eye, 0
    gain[dull], shift[dull] = grey @ gain[dull], shift[dull] @ grey.T
    return gain.astype(np.float32), shift.astype(np.float32)


def _turns(turns: Uniform) -> Uniform:
    """[B], in full turns → [B, 3, 3] that turn I and Q and keep Y."""
    cosine, sine = np.cos(2 * np.pi * turns), np.sin(2 * np.pi * turns)
    none, one = np.zeros_like(turns), np.ones_like(turns)
    return np.stack([one, none, none, none, cosine, -sine, none, sine, cosine], 1).reshape(-1, 3, 3)


def _blur(x: Floats, sigma: Uniform) -> Floats:
    """Gaussian blur of [B, S, S, 3] by sigma [B] pixels, its kernel a tenth of the side wide (SimCLR, appendix A) but at least 3 pixels."""
    S = x.shape[1]
    distance = np.abs(np.arange(S)[:, None] - np.arange(S))
    kernel = np.exp(-(distance**2) / (2 * sigma[:, None, None] ** 2)) * (distance <= max(S // 20, 1))
    kernel = (kernel / kernel.sum(-1, keepdims=True)).astype(np.float32)
    tall = (kernel @ x.reshape(len(x), S, S * 3)).reshape(x.shape)
    wide = kernel @ np.ascontiguousarray(tall.swapaxes(1, 2)).reshape(len(x), S, S * 3)
    return wide.reshape(x.shape).swapaxes(1, 2)
