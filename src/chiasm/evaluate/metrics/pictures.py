"""How near one picture is to another: PSNR, SSIM, and the place of the right picture among all that could have been meant.

Pictures are uint8 [n, H, W, C]. Legend: n pictures drawn · m pictures in the gallery · S side in pixels · E embedding width.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from chiasm.errors import DataError
from chiasm.evaluate.metrics.ranks import Places, SharedKey, places

Float = NDArray[np.float64]
Pictures = NDArray[np.uint8]
Vectors = NDArray[np.float32]
Keys = NDArray[np.int64]

PSNR_LIMIT = 100.0
"""What `psnr` gives for equal pictures, in dB: infinity would swallow every mean that it enters."""

SSIM_WINDOW = 11
SSIM_SIGMA = 1.5

BLUR_SIDE = 32
"""Larger pictures are averaged down to this side before they are compared, where it divides theirs."""

BLUR = 1.5
"""Standard deviation, in pixels at that side, of the blur under which pictures are compared."""

_LUMA = np.array([0.299, 0.587, 0.114])
"""Red, green and blue in grey (ITU-R BT.601)."""

_CHUNK = 256
"""Pictures that are widened to floats at a time."""


def psnr(a: Pictures, b: Pictures) -> Float:
    """Peak signal-to-noise ratio of each pair, 10·log10(255² / mean squared error over pixels and channels), in dB.

    a, b: uint8 [n, H, W, C] → [n], at most PSNR_LIMIT. Raises DataError where the shapes differ."""
    _same_shape(a, b)
    error = np.array([np.square(x.astype(np.float64) - y).mean() for x, y in zip(a, b, strict=True)], dtype=np.float64)
    return 10 * np.log10(255.0**2 / np.maximum(error, 255.0**2 * 10 ** (-PSNR_LIMIT / 10)))


def ssim(a: Pictures, b: Pictures, *, grey: bool = False) -> Float:
    """Mean structural similarity of each pair, at most 1 (Wang et al. 2004, "Image Quality Assessment: From Error Visibility to
    Structural Similarity", IEEE TIP 13(4), section III).

    a, b: uint8 [n, H, W, C] → [n]. The paper's 11 × 11 Gaussian window of σ 1.5 whose weights sum to 1, K₁ = 0.01, K₂ = 0.03
    and L = 255, at full size, where the window lies wholly inside the picture (as in the authors' code). The mean is over places
    and channels; with `grey`, of the luma of RGB pictures (ITU-R BT.601), which is what the paper measures.
    Raises DataError where shapes differ or a side is below 11.
    """
    _same_shape(a, b)
    if a.ndim != 4 or min(a.shape[1:3]) < SSIM_WINDOW:
        raise DataError(
            f"ssim needs pictures [n, H, W, C] of at least {SSIM_WINDOW} × {SSIM_WINDOW} pixels, got {a.shape}"
        )
    return np.array([_ssim(_planes(x, grey), _planes(y, grey)) for x, y in zip(a, b, strict=True)], dtype=np.float64)


def nearest_pictures(drawn: Pictures, gallery: Pictures, identity: Keys, gallery_identity: Keys) -> Places:
    """Where the first gallery picture of the right identity comes when the gallery is sorted by distance: was it drawn as meant?

    drawn: uint8 [n, S, S, 3]; gallery: uint8 [m, S, S, 3]; identity: int64 [n]; gallery_identity: int64 [m], none negative.
    → `.rank()` [n] from 1, `.hit(k)` [n] its being among the k nearest; equally near ones are in random order.
    The distance is Euclidean over pixels, after averaging down to BLUR_SIDE and a Gaussian blur of σ BLUR with the edges
    repeated, so that an outline one pixel off costs little. Memory: 12 · BLUR_SIDE² bytes a picture (where that divides S).
    Raises DataError where sizes differ or a right identity is not in the gallery.
    """
    if drawn.shape[1:] != gallery.shape[1:]:
        raise DataError(
            f"drawn pictures are {drawn.shape[1:]}, the gallery's {gallery.shape[1:]}: give both the same size"
        )
    return nearest_vectors(_blurred(drawn), _blurred(gallery), identity, gallery_identity)


def nearest_vectors(vectors: Vectors, gallery: Vectors, identity: Keys, gallery_identity: Keys) -> Places:
    """`nearest_pictures` by vectors of any kind and Euclidean distance, which for unit vectors gives the order of the cosine.

    vectors: float32 [n, E]; gallery: float32 [m, E]; identity: int64 [n]; gallery_identity: int64 [m], none negative.
    Raises DataError where a right identity is not in the gallery, ModelError for vectors that are not finite."""
    centre = gallery.mean(axis=0)  # distances stay as they are, and float32 keeps more of their digits
    vectors, gallery = vectors - centre, gallery - centre
    # −|x − y|² / 2 = x·y − |y|² / 2 − |x|² / 2, whose last term is the same for the whole gallery: one dot product ranks it.
    length = np.square(gallery).sum(axis=1, keepdims=True, dtype=np.float64).astype(np.float32)
    queries = np.concatenate([vectors, np.ones_like(vectors[:, :1])], axis=1)
    return places(
        queries,
        np.concatenate([gallery, -length / 2], axis=1),
        SharedKey(identity[:, None], gallery_identity[:, None]),
        block=_CHUNK,
    )


def gaussian(sigma: float, radius: int) -> Float:
    """A sampled Gaussian [2·radius + 1] whose weights sum to 1."""
    weight = np.exp(-0.5 * np.square(np.arange(-radius, radius + 1) / sigma))
    return weight / weight.sum()


def _same_shape(a: NDArray[Any], b: NDArray[Any]) -> None:
    if a.shape != b.shape:
        raise DataError(f"pictures to compare must be of one shape, got {a.shape} and {b.shape}")


def _planes(picture: Pictures, grey: bool) -> Float:
    """[H, W, C] → [H, W, C] as floats, or [H, W, 1]."""
    planes: Float = picture.astype(np.float64)
    return (planes @ _LUMA)[..., None] if grey else planes


def _ssim(x: Float, y: Float) -> float:
    """The mean of the paper's Eq. 13 over the map; x, y: [H, W, C]."""
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    channels = x.shape[-1]
    moments = _smooth(np.concatenate([x, y, x * x, y * y, x * y], axis=-1), gaussian(SSIM_SIGMA, SSIM_WINDOW // 2))
    mean_x, mean_y, xx, yy, xy = (moments[..., i * channels : (i + 1) * channels] for i in range(5))
    product, squares = mean_x * mean_y, mean_x**2 + mean_y**2
    similarity = (2 * product + c1) * (2 * (xy - product) + c2) / ((squares + c1) * (xx + yy - squares + c2))
    return float(similarity.mean())


def _smooth(planes: NDArray[np.floating[Any]], weight: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Convolves the rows and columns of [..., H, W, C] with weight [k], where it lies inside: [..., H − k + 1, W − k + 1, C]."""
    for axis in (-3, -2):
        inside = np.lib.stride_tricks.sliding_window_view(planes, len(weight), axis=axis)
        planes = inside @ weight
    return planes


def _blurred(pictures: Pictures) -> Vectors:
    """uint8 [n, S, S, 3] → float32 [n, E], 0 … 1, as `nearest_pictures` compares them."""
    side = pictures.shape[1]
    factor = side // BLUR_SIDE if side and side % BLUR_SIDE == 0 else 1
    small = side // factor
    radius = round(3 * BLUR)
    weight = gaussian(BLUR, radius).astype(np.float32)
    edges = ((0, 0), (radius, radius), (radius, radius), (0, 0))
    found = np.empty((len(pictures), small * small * pictures.shape[-1]), dtype=np.float32)
    for start in range(0, len(pictures), _CHUNK):
        part = pictures[start : start + _CHUNK].astype(np.float32) / 255
        part = part.reshape(len(part), small, factor, small, factor, -1).mean(axis=(2, 4))
        found[start : start + _CHUNK] = _smooth(np.pad(part, edges, mode="edge"), weight).reshape(len(part), -1)
    return found
