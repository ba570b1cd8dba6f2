"""From a quantised log-mel spectrogram back to samples: the magnitudes that its bands allow, then phases by fast Griffin–Lim.

Letters: T frames of 10 ms · M = 80 mel bands · K = 257 frequencies · S = 160 · T samples.
"""

from __future__ import annotations

import io
from functools import cache

import numpy as np
import soundfile
from numpy.typing import NDArray

from chiasm.modalities.audio import FFT, HIGH, HOP, LOW, RATE, WINDOW, hann, mel_bank

ITERATIONS = 40
MOMENTUM = 0.99
"""α of fast Griffin–Lim (Perraudin et al. 2013, section 3.2: about 0.99 is best)."""
UPDATES = 40
"""Multiplicative updates of the magnitudes."""
SEED = 0
_TINY = np.float32(1e-12)
_LEAD = (WINDOW - HOP) // 2  # a frame begins so long before its hop, as in log_mel
_OVERLAP = -(-WINDOW // HOP)

Floats = NDArray[np.float32]
Spectrum = NDArray[np.complex64]


def synthesise(mel: NDArray[np.uint8], iterations: int = ITERATIONS) -> Floats:
    """Log-mel uint8 [T, 80] as `log_mel` makes it → samples float32 [160 · T] at 16 kHz, in [−1, 1].

    Deterministic: the phases begin with the same seeded numbers. Raises ValueError for another shape.
    """
    if mel.ndim != 2 or mel.shape[1] != mel_bank().shape[1]:
        raise ValueError(f"a log-mel of shape {mel.shape}; wanted [T, {mel_bank().shape[1]}]")
    if not len(mel):
        return np.zeros(0, np.float32)
    magnitude = magnitudes(mel)
    phase = np.random.default_rng(SEED).uniform(-np.pi, np.pi, magnitude.shape)
    guess: Spectrum = (magnitude * np.exp(1j * phase)).astype(np.complex64)
    before = np.zeros_like(guess)
    for _ in range(iterations):
        possible = stft(istft(guess))  # the nearest spectrum that some sound has
        pushed = possible + np.float32(MOMENTUM) * (possible - before)
        before = possible
        guess = (magnitude * pushed / np.maximum(np.abs(pushed), _TINY)).astype(np.complex64, copy=False)
    return np.clip(istft(guess), -1.0, 1.0)


def magnitudes(mel: NDArray[np.uint8]) -> Floats:
    """Log-mel uint8 [T, 80] → magnitudes [T, 257] ≥ 0 whose bands come nearest: non-negative least squares on the power by multiplicative
    updates (Lee and Seung 2000), from the bands spread over their frequencies. 0 is silence."""
    bank = mel_bank()
    power = np.float32(10) ** (mel.astype(np.float32) * np.float32((HIGH - LOW) / 255) + np.float32(LOW))
    power[mel == 0] = 0
    wanted, both = power @ bank.T, bank @ bank.T
    found = wanted / np.maximum((bank @ bank.sum(0)), _TINY)
    for _ in range(UPDATES):
        found *= wanted / np.maximum(found @ both, _TINY)
    return np.sqrt(found)


def stft(samples: Floats) -> Spectrum:
    """float32 [160 · T] → complex64 [T, 257], the frames and window of `log_mel`."""
    count = len(samples) // HOP
    padded = np.zeros((count - 1) * HOP + WINDOW, np.float32)
    body = samples[: len(padded) - _LEAD]
    padded[_LEAD : _LEAD + len(body)] = body
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP] * hann()
    return np.fft.rfft(frames, FFT, axis=1).astype(np.complex64, copy=False)


def istft(spectrum: Spectrum) -> Floats:
    """complex64 [T, 257] → the samples float32 [160 · T] whose `stft` is nearest (Griffin and Lim 1984, Eq. 6)."""
    frames = np.fft.irfft(spectrum, FFT, axis=1)[:, :WINDOW].astype(np.float32, copy=False) * hann()
    return (_overlap(frames) / _weights(len(frames)))[_LEAD : _LEAD + len(frames) * HOP]


def spectral_convergence(samples: Floats, magnitude: Floats) -> float:
    """‖|stft(samples)| − magnitude‖ / ‖magnitude‖: 0 where the phases fit perfectly."""
    return float(np.linalg.norm(np.abs(stft(samples)) - magnitude) / max(float(np.linalg.norm(magnitude)), 1e-12))


def write_wav(samples: Floats) -> bytes:
    """16 kHz mono float32 [S] in [−1, 1] → WAV bytes of 16 bits a sample."""
    words = np.clip(np.rint(samples * 32767.0), -32767, 32767).astype(np.int16)
    file = io.BytesIO()
    soundfile.write(file, words, RATE, format="WAV", subtype="PCM_16")
    return file.getvalue()


def _overlap(frames: Floats) -> Floats:
    """Frames [T, WINDOW] added up, each HOP after the one before: [(T + overlap − 1) · HOP]."""
    count = len(frames)
    parts = np.pad(frames, ((0, 0), (0, _OVERLAP * HOP - WINDOW))).reshape(count, _OVERLAP, HOP)
    out = np.zeros((count + _OVERLAP - 1, HOP), np.float32)
    for index in range(_OVERLAP):
        out[index : index + count] += parts[:, index]
    return out.reshape(-1)


@cache
def _weights(count: int) -> Floats:
    """What the squared windows of `count` frames add up to."""
    return np.maximum(_overlap(np.tile(np.square(hann()), (count, 1))), np.float32(1e-3))
