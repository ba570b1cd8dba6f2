"""Sound of any rate and channel count becomes 16 kHz mono and a quantised log-mel spectrogram."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import soundfile

from chiasm.errors import MediaError
from chiasm.modalities import audio
from chiasm.modalities.audio import HOP, RATE, encode_audio, log_mel, mel_bank, read_audio


def tone(hertz: float, seconds: float, rate: int = RATE, level: float = 0.5) -> np.ndarray:
    return (level * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


def encode(samples: np.ndarray, rate: int, kind: str = "WAV", subtype: str | None = None) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=kind, subtype=subtype)
    return file.getvalue()


def peak(samples: np.ndarray) -> float:
    """The loudest frequency, in Hz."""
    return float(np.abs(np.fft.rfft(samples)).argmax() * RATE / len(samples))


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 48000, 192000])
def test_any_rate_becomes_16_khz_at_the_same_pitch_and_length(rate: int) -> None:
    found = read_audio(encode(tone(1000, 1.5, rate), rate))
    assert found.dtype == np.float32
    assert abs(len(found) - 1.5 * RATE) <= 2
    assert abs(peak(found) - 1000) < 2
    assert abs(np.abs(found[2000:-2000]).max() - 0.5) < 0.02


@pytest.mark.parametrize(
    ("kind", "subtype"),
    [
        ("WAV", "PCM_U8"),
        ("WAV", "FLOAT"),
        ("FLAC", "PCM_24"),
        ("OGG", "VORBIS"),
        ("OGG", "OPUS"),
        ("MP3", None),
    ],
)
def test_formats(kind: str, subtype: str | None) -> None:
    found = read_audio(encode(tone(440, 1, 48000), 48000, kind, subtype))
    assert abs(len(found) - RATE) < 0.06 * RATE  # MP3 pads
    assert abs(peak(found) - 440) < 3


def test_channels_are_averaged() -> None:
    left, right = tone(500, 1), tone(2000, 1)
    found = read_audio(encode(np.stack([left, right], 1), RATE, subtype="FLOAT"))
    assert np.abs(found - (left + right) / 2).max() < 1e-6


def test_blocks_join_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode(tone(700, 2, 44100), 44100)
    whole = read_audio(data)
    monkeypatch.setattr(audio, "_BLOCK", 1000)
    assert np.abs(read_audio(data) - whole).max() < 1e-4


def test_seconds_is_the_beginning_of_the_whole() -> None:
    for rate in (16000, 44100):
        data = encode(tone(300, 3, rate), rate)
        assert len(read_audio(data, 0.7)) == round(0.7 * RATE)
        assert np.abs(read_audio(data, 0.7) - read_audio(data)[: round(0.7 * RATE)]).max() < 1e-3
        assert len(read_audio(data, 10)) == len(read_audio(data))


def reason(data: bytes, **options: Any) -> str:
    with pytest.raises(MediaError) as caught:
        read_audio(data, **options)
    return caught.value.reason


def test_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    assert reason(b"") == "empty"
    assert reason(b"a text, and no sound at all") == "format"
    assert reason(encode(np.zeros(0, np.float32), RATE)) == "empty"
    assert reason(encode(np.array([0.0, np.nan], np.float32), RATE, subtype="FLOAT")) == "non_finite"
    assert reason(encode(tone(1, 1, 500), 500)) == "rate"
    monkeypatch.setattr(audio, "MAX_SECONDS", 1.0)
    assert reason(encode(tone(300, 1.5), RATE)) == "too_long"
    assert len(read_audio(encode(tone(300, 1.5), RATE), 0.5)) == RATE // 2


def test_silence_outside_the_range_stays_in_it() -> None:
    loud = encode(np.array([5.0, -7.0, 0.25] * 100, np.float32), RATE, subtype="FLOAT")
    assert np.abs(read_audio(loud)).max() == 1.0


def naive_log_mel(samples: np.ndarray) -> np.ndarray:
    """The definition, frame by frame in float64."""
    count = max(1, -(-len(samples) // HOP))
    window = np.hanning(audio.WINDOW + 1)[:-1]
    rows = []
    for frame in range(count):
        start = frame * HOP - (audio.WINDOW - HOP) // 2
        piece = np.array([samples[i] if 0 <= i < len(samples) else 0.0 for i in range(start, start + audio.WINDOW)])
        power = np.abs(np.fft.fft(piece * window, audio.FFT)[: audio.FFT // 2 + 1]) ** 2
        level = np.log10(np.maximum(power @ mel_bank().astype(np.float64), 1e-30))
        rows.append(np.clip(np.floor((level - audio.LOW) / (audio.HIGH - audio.LOW) * 255 + 0.5), 0, 255))
    return np.stack(rows)


@pytest.mark.parametrize("length", [1, 159, 160, 161, 4000, 8123])
def test_log_mel_agrees_with_its_definition(length: int) -> None:
    samples = (np.random.default_rng(length).standard_normal(length) * 0.1).astype(np.float32)
    found = log_mel(samples)
    assert found.shape == (max(1, -(-length // HOP)), 80)
    assert found.dtype == np.uint8
    assert np.abs(found.astype(int) - naive_log_mel(samples)).max() <= 1


def test_mel_bands_cover_the_spectrum() -> None:
    bank = mel_bank()
    assert bank.shape == (257, 80)
    assert ((bank > 0).sum(0) >= 2).all()
    assert (bank[1:-1].sum(1) > 0).all()
    centres = bank.argmax(0)
    assert (np.diff(centres) >= 0).all()
    low, high = log_mel(tone(300, 1))[50].argmax(), log_mel(tone(3000, 1))[50].argmax()
    assert abs(centres[low] * RATE / 512 - 300) < 50
    assert abs(centres[high] * RATE / 512 - 3000) < 120


def test_log_mel_of_silence_and_of_nothing_is_zero() -> None:
    assert log_mel(np.zeros(RATE, np.float32)).max() == 0
    assert log_mel(np.zeros(0, np.float32)).shape == (1, 80)


def test_a_full_scale_sine_stays_below_the_top() -> None:
    assert 240 < log_mel(tone(1000, 1, level=1.0)).max() <= 255


def test_encode_audio_comes_back_and_is_small() -> None:
    rng = np.random.default_rng(0)
    samples = np.clip(tone(300, 2) + rng.standard_normal(2 * RATE) * 0.02, -1, 1).astype(np.float32)
    data = encode_audio(samples)
    assert np.abs(read_audio(data) - samples).max() <= 1 / 1024 + 1e-6
    assert len(data) < 0.55 * len(encode(samples, RATE, "FLAC", "PCM_16"))
