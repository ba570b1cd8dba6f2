"""Features of pictures, sounds, clips and texts that need no trained model: gradients and colours, mel statistics, hashed words."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chiasm.modalities.audio import log_mel

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Floats = NDArray[np.float32]

CELL = 4
BINS = 9
"""HOG: orientations of a cell of CELL × CELL pixels."""

COLOURS = 4
"""Mean colours are taken over a grid of so many places a side."""

HASHES = 2**16
LETTERS = 2_000
"""Of a text, its beginning."""


def picture_features(pixels: NDArray[np.uint8]) -> Floats:
    """Of uint8 [S, S, 3], S a multiple of 4·CELL: histograms of oriented gradients and mean colours, float32 [d].

    Gradients of the strongest colour channel, BINS unsigned orientations by linear interpolation, cells of CELL pixels in overlapping
    blocks of 2 × 2 with L2-Hys (Dalal & Triggs 2005, 6), of which the four normalisations of a cell are averaged (as Felzenszwalb et al. 2010).
    """
    value = pixels.astype(np.float32) / 255
    dy, dx = np.zeros_like(value), np.zeros_like(value)
    dy[1:-1], dx[:, 1:-1] = value[2:] - value[:-2], value[:, 2:] - value[:, :-2]
    power = dy * dy + dx * dx
    strongest = power.argmax(axis=2)[..., None]
    dy, dx = (np.take_along_axis(part, strongest, 2)[..., 0] for part in (dy, dx))
    size = np.sqrt(dy * dy + dx * dx)
    turn = (np.arctan2(dy, dx) % np.pi) / np.pi * BINS
    low = np.floor(turn).astype(np.int64)
    share = (turn - low).astype(np.float32)
    cells = len(pixels) // CELL
    place = np.arange(len(pixels)) // CELL
    cell = (place[:, None] * cells + place[None, :]) * BINS
    histogram = np.bincount((cell + low % BINS).ravel(), (size * (1 - share)).ravel(), cells * cells * BINS)
    histogram += np.bincount((cell + (low + 1) % BINS).ravel(), (size * share).ravel(), cells * cells * BINS)
    gradients = _normalise_blocks(histogram.astype(np.float64).reshape(cells, cells, BINS))
    part = len(pixels) // COLOURS
    colours = value.reshape(COLOURS, part, COLOURS, part, 3).mean(axis=(1, 3))
    return np.concatenate([gradients.ravel(), colours.ravel()]).astype(np.float32)


def _normalise_blocks(cells: NDArray[np.float64]) -> NDArray[np.float64]:
    """[c, c, BINS] → the same, each cell as the mean over the blocks of 2 × 2 that it lies in."""
    energy = (cells * cells).sum(axis=2)
    block = energy[:-1, :-1] + energy[1:, :-1] + energy[:-1, 1:] + energy[1:, 1:]
    total, times = np.zeros_like(cells), np.zeros(cells.shape[:2])
    last = len(cells) - 1
    for y in (0, 1):
        for x in (0, 1):
            where = (slice(y, last + y), slice(x, last + x))
            total[where] += np.minimum(cells[where] / np.sqrt(block + 1e-4)[..., None], 0.2)
            times[where] += 1
    return total / times[..., None]


def sound_features(samples: Floats) -> Floats:
    """Of 16 kHz mono [S]: of each of 80 mel bands the mean, the deviation, the mean change from frame to frame, and the means of
    the three thirds in time: float32 [480], in units of 0 … 1 (90 dB)."""
    frames = log_mel(samples).astype(np.float32) / 255
    change = np.abs(np.diff(frames, axis=0)).mean(axis=0) if len(frames) > 1 else np.zeros(frames.shape[1])
    thirds = [part.mean(axis=0) if len(part) else frames.mean(axis=0) for part in np.array_split(frames, 3)]
    return np.concatenate([frames.mean(axis=0), frames.std(axis=0), change, *thirds]).astype(np.float32)


def clip_features(frames: NDArray[np.uint8]) -> Floats:
    """Of uint8 [F, S, S, 3]: the mean of the frames' picture features, and where how much changes between frames (8 × 8 places)."""
    looks = np.mean([picture_features(frame) for frame in frames], axis=0)
    grey = frames.astype(np.float32).mean(axis=3) / 255
    change = np.abs(np.diff(grey, axis=0)).mean(axis=0) if len(frames) > 1 else np.zeros(grey.shape[1:])
    part = len(change) // 8
    return np.concatenate([looks, change.reshape(8, part, 8, part).mean(axis=(1, 3)).ravel()]).astype(np.float32)


def hash_texts(texts: Iterable[str], learns: NDArray[np.bool_] | None = None) -> csr_matrix:
    """tf-idf of hashed words and word pairs, float32 [n, HASHES], rows of length 1, or 0 where a text has no word.

    Only the first LETTERS letters of a text are looked at. In scripts without spaces every letter is a word. learns: bool [n], the texts that
    say how rare a word is; all where None, or none may.
    """
    from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

    make: Any = HashingVectorizer
    hasher = make(analyzer=_terms, n_features=HASHES, alternate_sign=False, norm=None, dtype=np.float32)
    counts = hasher.transform(text[:LETTERS] for text in texts)
    weights: Any = TfidfTransformer(sublinear_tf=True)
    return weights.fit(counts[learns] if learns is not None and learns.any() else counts).transform(counts)


def words_of(text: str) -> list[str]:
    """The runs of letters and digits, case folded; of scripts without spaces, every letter."""
    found: list[str] = []
    for word in "".join(c if c.isalnum() else " " for c in text.casefold()).split():
        if word.isascii() or not any("\u3040" <= c <= "\u9fff" for c in word):
            found.append(word)
        else:
            found += word
    return found


def _terms(text: str) -> list[str]:
    """Words and pairs of them."""
    words = words_of(text)
    return words + [f"{a} {b}" for a, b in pairwise(words)]
