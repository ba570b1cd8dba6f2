"""Short signatures that stay nearly the same when a picture, sound, clip or text is copied with small changes.

Candidates for copies are found by them (near.py); whether a pair is one is then seen from the contents themselves (alike.py).
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from chiasm.modalities.audio import log_mel

SIDES = (0.95, 0.9, 0.85)
PICTURE_BYTES = 8 * (1 + 9 * len(SIDES))
CELLS_ACROSS = 4
COLOUR_BYTES = 3 * CELLS_ACROSS**2
CLIP_BYTES = 32
SOUND_BYTES = 32
PERMUTATIONS = 128
MINHASH_BYTES = 4 * PERMUTATIONS
SHINGLE = 4
"""Characters of a shingle: with their place in a word, as a text is padded with spaces."""

_COLOURS = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
_CELL = 32
WINDOWS = [0] + [
    10 * (3 * side + y + 1) + 3 * side + x + 1 for side in range(len(SIDES)) for y in range(3) for x in range(3)
]
"""Of the 10 × 10 pairs of parts of the axes (rows, columns): the whole picture, then those of equal sides; row for row with `windows`."""
_TIMES, _BANDS = 16, 16
LOUD = 40.0
"""dB below its loudest frame where a sound begins and ends."""
DECIBEL = 90.0 / 255.0
"""dB of a step of log_mel."""
_ODD = np.random.default_rng(20_211).integers(0, 2**32, (2, PERMUTATIONS), np.uint32) | np.array([[1], [0]], np.uint32)
_ABREAST = 256
"""Texts whose hashes are taken at a time: 128 × 256 of them stay in the cache."""
_FEW = 16


def grey(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Luma of uint8 [..., 3] as float32 [...] in 0 … 255."""
    return np.asarray(pixels.reshape(-1, 3).astype(np.float32) @ _COLOURS, np.float32).reshape(pixels.shape[:-1])


def shrink(levels: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """[h, w] → [height, width]: the mean over each cell, whatever the sizes (cells share the pixels that lie in both)."""
    rows, columns = cells(levels.shape[0], height), cells(levels.shape[1], width)
    return np.asarray(rows @ levels @ columns.T, np.float32)


@lru_cache(4096)
def cells(size: int, count: int, start: float = 0.0, side: float = 1.0) -> NDArray[np.float32]:
    """`intervals` of one part of an axis, kept for the next: [count, size]."""
    return intervals(size, count, np.array([start]), np.array([side]))[0]


def intervals(size: int, count: int, starts: NDArray[np.float64], sides: NDArray[np.float64]) -> NDArray[np.float32]:
    """How much each of `size` pixels counts in each of `count` equal cells of the parts of an axis that begin at `starts` and are `sides` long
    (fractions of `size`, float64 [K]): [K, count, size], rows of sum 1."""
    edges = (starts[:, None] + sides[:, None] * np.linspace(0.0, 1.0, count + 1)) * size
    pixels = np.arange(size)
    weights = np.minimum(edges[:, 1:, None], pixels + 1.0) - np.maximum(edges[:, :-1, None], pixels)
    np.maximum(weights, 0.0, out=weights)
    weights *= (count / size / sides)[:, None, None]
    return weights.astype(np.float32)


def windows() -> list[tuple[float, float, float]]:
    """(left, top, side) of the whole picture and of the 27 parts of it that a copy may have been cut to, as fractions of its sides."""
    return [(0.0, 0.0, 1.0)] + [
        ((1 - side) * x / 2, (1 - side) * y / 2, side) for side in SIDES for y in range(3) for x in range(3)
    ]


@lru_cache(1024)
def axis_parts(size: int, count: int) -> NDArray[np.float32]:
    """`intervals` of the whole axis, then of the three places of each of SIDES: [10, count, size]; WINDOWS chooses pairs of them."""
    places = [(0.0, 1.0)] + [((1 - side) * place / 2, side) for side in SIDES for place in range(3)]
    starts, sides = np.array(places).T
    return intervals(size, count, starts, sides)


@lru_cache(1024)
def _waves(size: int) -> NDArray[np.float32]:
    """Low DCT-II coefficients 1 … 8 of the 32 cells of each of the ten intervals of an axis of `size` pixels, float32 [80, size]."""
    cosines = np.cos(np.pi / _CELL * (np.arange(_CELL) + 0.5) * np.arange(1, 9)[:, None])
    return np.concatenate([cosines @ part for part in axis_parts(size, _CELL)]).astype(np.float32)


def picture_hash(levels: NDArray[np.float32]) -> bytes:
    """28 × 64 bits of grey levels [h, w]: the pHash of the whole picture, then of each other part of it in `windows`. A copy of another size or
    encoding has nearly the same first word, and a copy that is a part nearly one of the others.

    pHash (Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010): 64 low DCT coefficients of a 32 × 32 thumbnail,
    the constant left out, above their median. Thumbnail and DCT are linear, so two products give all 28.
    """
    whole = _waves(levels.shape[0]) @ levels @ _waves(levels.shape[1]).T
    grid = whole.reshape(10, 8, 10, 8).transpose(0, 2, 1, 3).reshape(100, 64)
    waves = grid[WINDOWS]
    middle = np.partition(waves, (31, 32), axis=1)[:, 31:33].mean(axis=1, keepdims=True)
    return np.packbits(waves > middle, axis=1).tobytes()


def colour_cells(pixels: NDArray[np.uint8]) -> bytes:
    """The mean colour of each of 4 × 4 cells of uint8 [h, w, 3], row by row, a byte a channel. What `picture_hash` lacks: of flat and regular
    pictures most coefficients are nearly zero, and their signs are the encoder's."""
    height, width = pixels.shape[:2]
    rows, columns = cells(height, CELLS_ACROSS), cells(width, CELLS_ACROSS)
    across = (rows @ pixels.reshape(height, -1).astype(np.float32)).reshape(CELLS_ACROSS, width, 3)
    return np.rint(columns @ across).astype(np.uint8).tobytes()


def clip_hash(frames: NDArray[np.uint8]) -> bytes:
    """256 bits of uint8 [4, S, S, 3]: the dHash of each frame."""
    small = [shrink(grey(frame), 8, 9) for frame in frames]
    return np.packbits(np.concatenate([(part[:, 1:] > part[:, :-1]).ravel() for part in small])).tobytes()


def sound_hash(samples: NDArray[np.float32]) -> bytes:
    """256 bits of 16 kHz samples [S]: the loud part of its log-mel spectrogram as 17 × 17 cells (times, bands), and the signs of the differences
    between neighbours in both directions. Level, encoding and silence around the sound change few bits; the energy differences of Haitsma and
    Kalker ("A Highly Robust Audio Fingerprinting System", ISMIR 2002), over the whole sound in place of its frames.
    """
    loud = shrink(loud_part(log_mel(samples)).astype(np.float32), _TIMES + 1, _BANDS + 1)
    slopes = loud[:, 1:] - loud[:, :-1]
    return np.packbits(slopes[1:] > slopes[:-1]).tobytes()


def loud_part(mel: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Frames of log_mel [T, M] from the first to the last that is less than 40 dB below the loudest."""
    peaks = mel.max(axis=1).astype(np.float32) * DECIBEL
    found = np.flatnonzero(peaks > peaks.max() - LOUD)
    return mel[found[0] : found[-1] + 1]


_MARKS = re.compile("[\\s_.,;:!?¡¿\"'`´’‘“”„«»()\\[\\]{}…·、。，！？；：（）「」『』|/\\\\–—-]+")

_ASCII = bytes(ord(" " if _MARKS.match(chr(code)) else chr(code).lower()) for code in range(128)) + bytes(
    range(128, 256)
)


def plain_text(text: str) -> str:
    """The words of `text` without case, accents' encodings, punctuation and spacing; the text itself, casefolded, where nothing else is in it."""
    if text.isascii():  # the same by a table
        return b" ".join(text.encode().translate(_ASCII).split()).decode() or text.lower()
    folded = unicodedata.normalize("NFKC", text).casefold()
    return _MARKS.sub(" ", folded).strip() or folded


def text_digest(text: str) -> int:
    """64 bits that equal texts have, whatever their case and punctuation."""
    return int.from_bytes(hashlib.blake2b(plain_text(text).encode(), digest_size=8).digest(), "little")


def shingles(texts: Sequence[str]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Hashes of the shingles of all texts, one text after the other with repeats, and where each text's begin: uint32 [n], int64 [texts]."""
    padded = [f" {plain_text(text)} ".ljust(SHINGLE) for text in texts]
    lengths = np.fromiter(map(len, padded), np.int64, len(padded))
    codes = np.frombuffer("".join(padded).encode("utf-32-le", "surrogatepass"), np.uint32)
    count = len(codes) - SHINGLE + 1
    hashed = np.zeros(count, np.uint32)
    for offset in range(SHINGLE):
        hashed *= np.uint32(0x01000193)
        hashed += codes[offset : offset + count] * np.uint32(0x9E3779B1)
        hashed ^= hashed >> np.uint32(15)
    ends = np.cumsum(lengths)
    keep = np.ones(len(codes), np.bool_)
    for offset in range(1, SHINGLE):  # windows that reach into the next text
        keep[ends - offset] = False
    starts = ends - lengths - (SHINGLE - 1) * np.arange(len(padded))
    return _mix(hashed[keep[:count]]), starts


def _mix(values: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """MurmurHash3's finaliser: every bit of the result depends on every bit of the value."""
    values ^= values >> np.uint32(16)
    values *= np.uint32(0x85EBCA6B)
    values ^= values >> np.uint32(13)
    values *= np.uint32(0xC2B2AE35)
    values ^= values >> np.uint32(16)
    return values


def minhash(texts: Sequence[str]) -> NDArray[np.uint32]:
    """`minhashes` of the texts' shingles, uint32 [texts, 128]."""
    return minhashes(*shingles(texts))


def minhashes(values: NDArray[np.uint32], starts: NDArray[np.int64]) -> NDArray[np.uint32]:
    """uint32 [texts, 128]: the smallest value of each of 128 hash functions over a text's shingles (Broder, 1997). Two texts agree in a share of
    the columns that estimates the Jaccard similarity of their shingles.

    The functions are a · x + b modulo 2³² with a odd, of shingles that are mixed well beforehand: permutations of 32-bit values.
    """
    lengths = np.diff(np.append(starts, len(values)))
    order = np.argsort(lengths, kind="stable")
    result = np.empty((len(starts), PERMUTATIONS), np.uint32)
    for first in range(0, len(order), _ABREAST):
        texts = order[first : first + _ABREAST]
        many = len(texts) if len(texts) >= _FEW and lengths[texts].sum() * 2 > len(texts) * lengths[texts[-1]] else 0
        if many:
            result[texts] = _abreast(values, starts[texts], lengths[texts])
        for text in texts[many:].tolist():
            result[text] = _alone(values[starts[text] : starts[text] + lengths[text]])
    return result


def _abreast(values: NDArray[np.uint32], starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.uint32]:
    """`minhashes` of texts of ascending and like lengths: shingle by shingle of all of them, where a shorter text repeats its last."""
    places = starts + np.minimum(np.arange(lengths[-1])[:, None], lengths - 1)
    factor, summand = np.repeat(_ODD[:, :, None], len(starts), axis=2)
    hashed, least = np.empty_like(factor), np.full_like(factor, 2**32 - 1)
    for shingle in values[places]:
        hashed[:] = shingle  # written out first: whole arrays are multiplied quicker than broadcast ones
        hashed *= factor
        hashed += summand
        np.minimum(least, hashed, out=least)
    return least.T


def _alone(values: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """`minhashes` of one text."""
    least = np.full(PERMUTATIONS, 2**32 - 1, np.uint32)
    for first in range(0, len(values), _ABREAST):
        hashed = values[first : first + _ABREAST, None] * _ODD[0]
        hashed += _ODD[1]
        np.minimum(least, hashed.min(axis=0), out=least)
    return least
