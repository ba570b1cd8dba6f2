"""From log-mel back to sound: known signals, an inverse that is one, real speech."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from chiasm.modalities.audio import HIGH, HOP, LOW, RATE, log_mel, mel_bank, read_audio
from chiasm.modalities.vocoder import istft, magnitudes, spectral_convergence, stft, synthesise, write_wav

DECIBELS = (HIGH - LOW) * 10 / 255


def chirp(seconds: float = 0.8) -> NDArray[np.float32]:
    """Three partials that rise, with a pause."""
    t = np.arange(int(seconds * RATE)) / RATE
    base = 2 * np.pi * (150 * t + 60 * t * t)
    sound = sum(np.sin(k * base) / k for k in (1, 2, 5))
    return (0.25 * sound * (np.abs(t - 0.4) > 0.05)).astype(np.float32)


def test_the_transform_is_undone_exactly() -> None:
    sound = chirp()[: 70 * HOP]
    spectrum = stft(sound)
    assert spectrum.shape == (70, 257)
    np.testing.assert_allclose(istft(spectrum), sound, atol=1e-5)


def test_frames_are_those_of_the_log_mel() -> None:
    sound = chirp()[: 70 * HOP]
    power = np.square(np.abs(stft(sound))) @ mel_bank()
    expected = np.clip((np.log10(np.maximum(power, 10.0**LOW)) - LOW) * 255 / (HIGH - LOW) + 0.5, 0, 255)
    assert np.abs(log_mel(sound).astype(int) - expected.astype(int)).max() <= 1


def test_magnitudes_fit_the_bands() -> None:
    mel = log_mel(chirp())
    found = magnitudes(mel)
    assert found.min() >= 0 and found.dtype == np.float32
    power = 10.0 ** (mel * (HIGH - LOW) / 255 + LOW) * (mel > 0)
    assert np.linalg.norm(np.square(found) @ mel_bank() - power) < 0.02 * np.linalg.norm(power)


def test_a_sound_comes_back() -> None:
    sound = chirp()
    mel = log_mel(sound)
    made = synthesise(mel)
    assert made.shape == (len(mel) * HOP,) and made.dtype == np.float32 and np.abs(made).max() <= 1
    assert spectral_convergence(made, magnitudes(mel)) < 0.2
    assert spectral_convergence(made, magnitudes(mel)) < 0.5 * spectral_convergence(synthesise(mel, 0), magnitudes(mel))
    loud = mel > 100
    assert np.abs(log_mel(made).astype(float) - mel)[loud].mean() * DECIBELS < 2.0
    assert np.array_equal(made, synthesise(mel)), "no randomness of its own"


def test_silence_stays_silent_and_nothing_stays_nothing() -> None:
    assert np.abs(synthesise(np.zeros((20, 80), np.uint8))).max() == 0
    assert synthesise(np.zeros((0, 80), np.uint8)).shape == (0,)
    assert synthesise(np.full((1, 80), 100, np.uint8)).shape == (HOP,)
    with pytest.raises(ValueError, match="wanted"):
        synthesise(np.zeros((5, 64), np.uint8))


def test_wav() -> None:
    sound = np.concatenate([chirp(), [1.5, -1.5]]).astype(np.float32)
    data = write_wav(sound)
    with soundfile.SoundFile(io.BytesIO(data)) as file:
        assert (file.samplerate, file.channels, file.subtype, file.format) == (RATE, 1, "PCM_16", "WAV")
    np.testing.assert_allclose(read_audio(data), np.clip(sound, -1, 1), atol=1e-4)


def test_real_speech(shared_data: Callable[[str], Path]) -> None:
    """Spoken digits: the spectrum of what is made, against that of what was said."""
    found: list[float] = []
    folder = shared_data("fsdd")
    for name in ("0_george_0", "3_jackson_1", "7_lucas_2"):
        sound = read_audio((folder / "audio" / f"{name}.flac").read_bytes())
        mel = log_mel(sound)
        whole = np.zeros(len(mel) * HOP, np.float32)
        whole[: len(sound)] = sound[: len(whole)]
        found.append(spectral_convergence(synthesise(mel), np.abs(stft(whole)).astype(np.float32)))
    assert np.mean(found) < 0.25, found
