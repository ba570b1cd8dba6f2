"""Sound: encoded bytes → 16 kHz mono samples → quantised log-mel frames, and back to bytes; bounded while
it decodes.

Letters: S samples · T frames of 10 ms · M = 80 mel bands.
"""

from __future__ import annotations

import io
from functools import cache
from typing import Literal

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from chiasm.errors import MediaError

RATE = 16_000
MELS = 80
HOP = 160
WINDOW = 400
FFT = 512
LOW, HIGH = -6.5, 2.5
"""log10 of mel power that becomes 0 and 255: a range of 90 dB, 0.353 dB a step. A full-scale sine lies near
2.4; the noise of 10-bit rounding (see encode_audio) near -5.8; digital silence at 0."""

MAX_SECONDS = 600.0
MAX_PCM = 256 * 2**20
MAX_CHANNELS = 64
MIN_RATE, MAX_RATE = 1_000, 384_000
_BLOCK = 2**18  # values (frames × channels) decoded at once
_UNKNOWN = 2**40  # libsndfile reports about 2⁶³ frames where a stream does not tell its length


def read_audio(data: bytes, seconds: float | None = None) -> NDArray[np.float32]:
    """Decode any sound that libsndfile reads (WAV, FLAC, Ogg Vorbis and Opus, MP3, AIFF …) to 16 kHz mono
    float32 [S] in [-1, 1].

    Channels are averaged. With `seconds`, decoding stops there and the sound is at most that long. Without,
    a sound longer than MAX_SECONDS or more than MAX_PCM bytes of samples is refused, by what comes out of
    the decoder and not by what the header says.

    Raises MediaError: ``empty`` (0 bytes or no samples), ``format``, ``rate``, ``channels``,
    ``non_finite``, ``too_long``, ``too_large``, ``truncated``, ``corrupt``.
    """
    if not data:
        raise MediaError("empty", "the sound has 0 bytes")
    try:
        with soundfile.SoundFile(_Bytes(data)) as file:
            _check_header(file, seconds)
            pieces, frames, whole = _decode(file, seconds)
            if not frames:
                raise MediaError("empty", "the sound has a header and no samples")
            missing = file.frames - frames if file.frames < _UNKNOWN else 0
            # A tenth of a second is what MP3 encoders' padding leaves uncertain.
            if whole and (missing > file.samplerate / 10 or _cut_short(data)):
                raise MediaError("truncated", f"the sound ends early, after {frames / file.samplerate:.2f} s")
    except soundfile.LibsndfileError as error:
        reason = "format" if error.code == 1 else "corrupt"
        raise MediaError(reason, f"not a sound that can be decoded: {error.error_string}") from None
    except (RuntimeError, ValueError, TypeError, OSError) as error:
        raise MediaError("corrupt", f"the sound cannot be decoded: {error}") from None
    samples = pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
    if seconds is not None:
        samples = samples[: max(1, round(seconds * RATE))]
    if not len(samples):
        raise MediaError("empty", "the sound is shorter than one sample at 16 kHz")
    return np.clip(samples, -1.0, 1.0)


class _Bytes(io.BytesIO):
    """A broken header makes libsndfile seek to places that are none. It learns so from the unmoved
    position; an exception would be lost in its callback, and printed."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        try:
            return super().seek(offset, whence)
        except (ValueError, OverflowError):
            return self.tell()


def _check_header(file: soundfile.SoundFile, seconds: float | None) -> None:
    if not MIN_RATE <= file.samplerate <= MAX_RATE:
        raise MediaError("rate", f"{file.samplerate:,} samples a second; {MIN_RATE:,} to {MAX_RATE:,} are read")
    if not 1 <= file.channels <= MAX_CHANNELS:
        raise MediaError("channels", f"{file.channels} channels; 1 to {MAX_CHANNELS} are read")
    length = file.frames / file.samplerate
    if seconds is None and MAX_SECONDS < length < _UNKNOWN / file.samplerate:
        raise MediaError("too_long", f"{length:,.0f} s; the limit is {MAX_SECONDS:.0f} s")


def _decode(file: soundfile.SoundFile, seconds: float | None) -> tuple[list[NDArray[np.float32]], int, bool]:
    """Mono pieces at 16 kHz, frames decoded at the file's own rate, and whether the decoder reached its
    end.
    """
    rate, channels = file.samplerate, file.channels
    stream = None if rate == RATE else soxr.ResampleStream(rate, RATE, 1, dtype="float32", quality="HQ")
    # A little more than asked for: the resampler looks ahead.
    wanted = None if seconds is None else int((seconds + 0.05) * rate) + 1
    pieces: list[NDArray[np.float32]] = []
    frames = 0
    while True:
        count = max(1, _BLOCK // channels) if wanted is None else min(max(1, _BLOCK // channels), wanted - frames)
        block = file.read(count, dtype="float32", always_2d=True) if count else np.zeros((0, channels), np.float32)
        if not np.isfinite(block).all():
            raise MediaError("non_finite", f"the sound holds NaN or infinite samples, near {frames / rate:.2f} s")
        frames += len(block)
        if frames * channels * 4 > MAX_PCM:
            raise MediaError("too_large", f"more than {MAX_PCM:,} bytes of samples")
        if seconds is None and frames > MAX_SECONDS * rate:
            raise MediaError("too_long", f"longer than {MAX_SECONDS:.0f} s; decoding stopped there")
        mono = block[:, 0] if channels == 1 else block.mean(axis=1)
        last = len(block) < count or count == 0
        if stream is not None:
            mono = stream.resample_chunk(mono, last=last)
        pieces.append(np.asarray(mono, dtype=np.float32))
        if last:
            return pieces, frames, wanted is None or frames < wanted


def _cut_short(data: bytes) -> bool:
    """Whether the container says that more bytes should follow; libsndfile plays such files without a
    word.
    """
    if data[:4] == b"RIFF":
        return _chunk_cut(data, b"data", "little")
    if data[:4] == b"FORM":  # AIFF
        return _chunk_cut(data, b"SSND", "big")
    if data[:4] == b"OggS":
        last = data.rfind(b"OggS")
        segments = data[last + 26] if last + 26 < len(data) else 255
        table = data[last + 27 : last + 27 + segments]
        return len(table) < segments or last + 27 + segments + sum(table) > len(data)
    return False


def _chunk_cut(data: bytes, name: bytes, order: Literal["little", "big"]) -> bool:
    """Whether the chunk that holds the samples is longer than the file. A stream's unknown size (0, or all
    ones) is not.
    """
    start = 12
    while start + 8 <= len(data):
        size = int.from_bytes(data[start + 4 : start + 8], order)
        if data[start : start + 4] == name:
            return size < 0xFFFF_FF00 and start + 8 + size > len(data)
        start += 8 + size + size % 2
    return False


def log_mel(samples: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Quantised log-mel spectrogram: float32 [S] at 16 kHz → uint8 [T, 80], T = max(1, ⌈S / 160⌉).

    25 ms Hann window every 10 ms, centred on its hop, 512-point FFT, power, 80 triangular bands over 0–8
    kHz on Slaney's mel scale with equal area (as Whisper's, arXiv 2212.04356), log10, clamped to LOW … HIGH
    and mapped linearly to 0 … 255.
    """
    count = max(1, -(-len(samples) // HOP))
    padded = np.zeros((count - 1) * HOP + WINDOW, np.float32)
    lead = (WINDOW - HOP) // 2
    body = samples[: len(padded) - lead]
    padded[lead : lead + len(body)] = body
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP] * hann()
    spectrum = np.fft.rfft(frames, FFT, axis=1)
    power = spectrum.real**2
    power += spectrum.imag**2
    mel = power @ mel_bank()
    np.maximum(mel, np.float32(10.0**LOW), out=mel)
    np.log10(mel, out=mel)
    mel -= np.float32(LOW)
    mel *= np.float32(255 / (HIGH - LOW))
    return np.minimum(mel + np.float32(0.5), np.float32(255)).astype(np.uint8)


@cache
def hann() -> NDArray[np.float32]:
    """The window of a frame, float32 [400]."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)).astype(np.float32)


@cache
def mel_bank() -> NDArray[np.float32]:
    """The filters, float32 [257, 80]: triangles on Slaney's mel scale (Auditory Toolbox, 1998), each of
    area 1 over Hz.
    """
    bins = np.arange(FFT // 2 + 1) * RATE / FFT
    corners = _hertz(np.linspace(0.0, _mel(RATE / 2), MELS + 2))
    width = np.diff(corners)
    ramps = corners[:, None] - bins[None, :]
    rising = -ramps[:-2] / width[:-1, None]
    falling = ramps[2:] / width[1:, None]
    bank = np.maximum(0.0, np.minimum(rising, falling)) * (2.0 / (corners[2:] - corners[:-2]))[:, None]
    return np.ascontiguousarray(bank.T.astype(np.float32))


def _mel(hertz: float) -> float:
    """Slaney: linear to 1 kHz (15 mel), logarithmic above."""
    return 15.0 + 27.0 * np.log(hertz / 1000.0) / np.log(6.4) if hertz >= 1000.0 else hertz * 0.015


def _hertz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(mel < 15.0, mel / 0.015, 1000.0 * np.exp((mel - 15.0) * np.log(6.4) / 27.0))


def encode_audio(samples: NDArray[np.float32], bits: int = 10) -> bytes:
    """16 kHz mono float32 [S] → FLAC bytes of `bits` bits' depth, at most 16.

    The samples are rounded to so many bits and kept in the upper bits of 16-bit words: FLAC stores the zero
    bits once a block ("wasted bits per sample", RFC 9639 section 9.2.2), so that synthesised speech takes
    at 10 bits about a third of its 16-bit size. The rounding noise then lies 62 dB below full scale: not for
    recordings whose quiet parts matter.
    """
    top = 2 ** (bits - 1)
    words = np.clip(np.rint(samples * float(top)), -top, top - 1).astype(np.int16) << (16 - bits)
    file = io.BytesIO()
    soundfile.write(file, words, RATE, format="FLAC", subtype="PCM_16")
    return file.getvalue()
