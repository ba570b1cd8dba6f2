"""Names are spoken, cached, and the same whatever else is spoken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from chiasm.errors import ConfigError
from chiasm.modalities.audio import read_audio
from chiasm.sources import speech
from chiasm.sources.speech import speak

pytest.importorskip("espeakng_loader")

NAMES = ["red apple", "waving hand", "green tree"]


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHIASM_CACHE", str(tmp_path / "cache"))


def test_voices_differ_and_repeat_exactly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = speak({"en-us": NAMES, "cmn": ["苹果"]})
    samples = {name: read_audio(first["en-us"][name]) for name in NAMES}
    for sound in (*samples.values(), read_audio(first["cmn"]["苹果"])):
        assert 0.2 < len(sound) / 16000 < 3
        assert np.abs(sound).max() > 0.1
        assert np.abs(sound[:20]).max() < 0.05  # trimmed, with a margin of silence
    monkeypatch.setenv("CHIASM_CACHE", str(tmp_path / "other"))
    again = speak({"cmn+f2": ["苹果"], "en-us": NAMES}, workers=3)
    assert dict(again["en-us"]) == dict(first["en-us"])
    assert again["cmn+f2"]["苹果"] != first["cmn"]["苹果"]


def test_the_cache_is_used_and_mended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = dict(speak({"en-us": NAMES})["en-us"])
    (file,) = (tmp_path / "cache").rglob("*.arrow")
    file.write_bytes(file.read_bytes()[:-40])
    assert dict(speak({"en-us": NAMES})["en-us"]) == first

    def refuse(*_: object) -> list[bytes]:
        raise AssertionError("spoken again")

    monkeypatch.setattr(speech, "_run", refuse)
    assert dict(speak({"en-us": NAMES})["en-us"]) == first


def test_a_limited_run_hears_the_same_as_a_full_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speech, "JOB", 2)
    part = speak({"en-us": NAMES}, first=1)["en-us"]
    whole = speak({"en-us": NAMES})["en-us"]
    assert sorted(part) == sorted(NAMES[:2])
    assert all(whole[name] == part[name] for name in part)


@pytest.mark.parametrize("voice", ["nope", "en-us+nope", "en-gb"])
def test_a_voice_that_is_not_there_is_an_error_and_not_another_voice(voice: str) -> None:
    with pytest.raises(ConfigError, match="no voice"):
        speak({voice: ["hello"]})
