"""Changes to sounds that mostly leave what is heard alone.

Letters: S samples of float32 in [−1, 1] at 16 kHz · T frames of 10 ms · M mel bands. Every number that is random comes from the generator that
is handed in, or is handed in itself.
"""

from __future__ import annotations

import numpy as np
import soxr
from numpy.typing import NDArray

from chiasm.modalities.audio import RATE
from chiasm.modalities.vocoder import istft, stft

Samples = NDArray[np.float32]

FFT, HOP = 1024, 256
"""Of the phase vocoder: three quarters of overlap."""


def gain(x: Samples, decibel: float) -> Samples:
    """[S] louder by `decibel`; what would pass full scale is scaled down whole rather than clipped."""
    return _bounded((x * 10 ** (decibel / 20)).astype(np.float32))


def add_noise(x: Samples, ratio: float, rng: np.random.Generator) -> Samples:
    """[S] with white noise `ratio` dB below the sound's own power. Silence stays silence."""
    return overlay(x, rng.standard_normal(len(x)).astype(np.float32), ratio)


def overlay(x: Samples, other: Samples, ratio: float) -> Samples:
    """[S] with another sound over it, repeated or cut to its length, `ratio` dB below its power."""
    power, theirs = float(np.mean(x**2)), float(np.mean(other**2))
    if power <= 0 or theirs <= 0:
        return x
    scale = (power / theirs / 10 ** (ratio / 10)) ** 0.5
    return _bounded((x + scale * np.resize(other, len(x))).astype(np.float32))


def stretch(x: Samples, rate: float) -> Samples:
    """[S] → [S / rate] at the same pitch, `rate` times as fast: phase vocoder (Flanagan and Golden 1966; Laroche and Dolson 1999)."""
    if len(x) < 2 * FFT or rate == 1:
        return np.asarray(x, np.float32) if rate == 1 else resample(x, rate)
    window = np.hanning(FFT + 1)[:-1].astype(np.float32)
    padded = np.pad(x, FFT // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, FFT)[::HOP] * window
    spectrum = np.fft.rfft(frames, axis=1)
    place = np.arange(0, len(spectrum) - 1, rate)
    before = place.astype(np.int64)
    share = (place - before)[:, None]
    size = (1 - share) * np.abs(spectrum[before]) + share * np.abs(spectrum[before + 1])
    advance = 2 * np.pi * HOP * np.arange(FFT // 2 + 1) / FFT
    turned = np.angle(spectrum[before + 1]) - np.angle(spectrum[before]) - advance
    turned = advance + turned - 2 * np.pi * np.round(turned / (2 * np.pi))
    phase = np.angle(spectrum[0]) + np.concatenate([np.zeros((1, FFT // 2 + 1)), np.cumsum(turned[:-1], axis=0)])
    made = np.fft.irfft(size * np.exp(1j * phase), axis=1) * window
    out = np.zeros((len(made) - 1) * HOP + FFT)
    weight = np.zeros_like(out)
    for i, frame in enumerate(made):
        out[i * HOP : i * HOP + FFT] += frame
        weight[i * HOP : i * HOP + FFT] += window**2
    body = (out / np.maximum(weight, 1e-3))[FFT // 2 :]
    return _bounded(np.resize(np.pad(body, (0, FFT)), round(len(x) / rate)).astype(np.float32))


def pitch_shift(x: Samples, semitones: float) -> Samples:
    """[S] at another pitch, as long as before: stretched, then resampled."""
    factor = 2 ** (semitones / 12)
    moved = resample(stretch(x, 1 / factor), factor)
    return np.pad(moved, (0, max(0, len(x) - len(moved))))[: len(x)]


def resample(x: Samples, factor: float) -> Samples:
    """[S] → [S / factor], played `factor` times as fast: pace and pitch together."""
    made = soxr.resample(x, RATE * factor, RATE, quality="HQ")
    return _bounded(np.asarray(made, np.float32))


def mask_bands(x: Samples, rng: np.random.Generator, strength: float) -> Samples:
    """SpecAugment (arXiv 1904.08779, policy LB) on samples [S]: a stretch of frequencies and one of time silenced, at strength 1 up to 27 of 80
    mel-like bands (a third of the log-frequencies) and a tenth of the time."""
    if len(x) < 800:
        return x
    spectrum = stft(x)
    T, K = spectrum.shape
    edges = np.geomspace(2, K, 81)
    width = rng.random() * strength * 27
    low = rng.random() * (80 - width)
    first, last = np.interp([low, low + width], np.arange(81), edges)
    spectrum[:, int(first) : int(last)] = 0
    start, stop = silenced(T, rng.random(), rng.random(), strength * T / 10)
    spectrum[start:stop] = 0
    made = istft(spectrum)
    return _bounded(np.concatenate([made, x[len(made) :]]))


def silenced(size: int, width: float, start: float, most: float) -> tuple[int, int]:
    """The places first … last that a mask of SpecAugment covers, of `size`: at most `most` of them. width, start: drawn evenly from 0 … 1."""
    count = int(width * most)
    first = int(start * (size - count))
    return first, first + count


def _bounded(x: Samples) -> Samples:
    peak = float(np.abs(x).max(initial=0.0))
    return np.asarray(x / peak if peak > 1 else x, np.float32)
