"""eSpeak NG through ctypes, run as a process of its own: `python -m chiasm.sources.espeak`.

Standard input: one JSON object, {"voice", "rate" (words a minute), "texts"}. Standard output: for each text
a FLAC file (encode_audio) after its length as 4 bytes, little-endian; length 0 where nothing was spoken.

A process per job, because eSpeak's oscillator and jitter carry over from one utterance to the next: the
same job in a fresh, seeded process gives the same samples, whatever else is spoken and by how many workers.
"""

from __future__ import annotations

import ctypes
import json
import os
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from chiasm.modalities.audio import RATE, encode_audio

VERSION = 1
"""Raise it when the sound of a job changes, so that caches are made anew."""

_SYNCHRONOUS = 2  # speech_lib.h: AUDIO_OUTPUT_SYNCHRONOUS
_RATE = 1  # espeakRATE
_CHARACTERS, _UTF8 = 1, 1  # POS_CHARACTER, espeakCHARS_UTF8
_SILENCE = 0.004  # of full scale; what lies below it at either end is cut, but for _MARGIN
_MARGIN = 160

_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


class Espeak:
    """One voice of eSpeak NG. Raises ValueError for a voice that is not there: eSpeak itself would go on in
    another.
    """

    def __init__(self, voice: str, rate: int) -> None:
        import espeakng_loader

        self._library: Any = ctypes.CDLL(str(espeakng_loader.get_library_path()))
        self._pieces: list[NDArray[np.int16]] = []
        self._callback = _Callback(self._collect)  # kept alive as long as the library may call it
        data = Path(espeakng_loader.get_data_path())
        self._hertz: int = self._library.espeak_Initialize(_SYNCHRONOUS, 0, str(data).encode(), 0)
        if self._hertz <= 0:
            raise RuntimeError("eSpeak NG does not start")
        self._library.espeak_SetSynthCallback(self._callback)
        self._library.espeak_ng_SetRandSeed(ctypes.c_long(1))
        _, plus, variant = voice.partition("+")
        # An unknown variant is silently ignored, so its file is looked for here.
        if plus and not (data / "voices" / "!v" / variant).is_file():
            raise ValueError(f"eSpeak NG has no voice variant {variant!r}")
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise ValueError(f"eSpeak NG has no voice {voice!r}")
        self._library.espeak_SetParameter(_RATE, rate, 0)

    def say(self, text: str) -> NDArray[np.float32]:
        """16 kHz mono float32 [S], silence at the ends trimmed; empty where nothing is spoken."""
        self._pieces.clear()
        data = text.encode()
        code = self._library.espeak_Synth(data, len(data) + 1, 0, _CHARACTERS, 0, _UTF8, None, None)
        if code != 0:
            raise RuntimeError(f"eSpeak NG fails with code {code} on {text!r}")
        if not self._pieces:
            return np.zeros(0, np.float32)
        samples = np.concatenate(self._pieces).astype(np.float32) / 32768.0
        loud = np.flatnonzero(np.abs(samples) > _SILENCE)
        if not len(loud):
            return np.zeros(0, np.float32)
        spoken = samples[max(0, loud[0] - _MARGIN) : loud[-1] + _MARGIN]
        return np.asarray(soxr.resample(spoken, self._hertz, RATE), np.float32)

    def _collect(self, wave: Any, count: int, _events: Any) -> int:
        if wave and count > 0:
            self._pieces.append(np.ctypeslib.as_array(wave, (count,)).copy())
        return 0


def main() -> int:
    """Serve one job. Exit code 3 and a line on standard error for a voice that is not there."""
    # The library may print; only FLAC may reach the reader.
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    job = json.load(sys.stdin)
    try:
        voice = Espeak(job["voice"], job["rate"])
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 3
    for text in job["texts"]:
        samples = voice.say(text)
        data = encode_audio(samples) if len(samples) else b""
        answer.write(struct.pack("<I", len(data)) + data)
    answer.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
