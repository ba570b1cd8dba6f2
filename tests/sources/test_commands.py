"""Commands in unseen phrasings of known words, in several voices."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

import pytest

from chiasm.config import BuildConfig
from chiasm.dataset.build import build
from chiasm.errors import ConfigError
from chiasm.modalities.audio import read_audio
from chiasm.sources import open_source, speech
from chiasm.sources.command_words import GRAMMAR, SLOTS, phrasings
from chiasm.sources.commands import EACH, VOICES
from chiasm.types import Record

pytest.importorskip("espeakng_loader")


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHIASM_CACHE", str(tmp_path / "cache"))


def read(config: BuildConfig, *, spoken: bool = True) -> list[Record]:
    source = open_source("spoken-commands", config)
    if spoken:
        source.prepare()
    else:
        source._speech = {voice: {} for voice in VOICES}  # type: ignore[attr-defined]  # the words alone
    return [item for item in source.records() if isinstance(item, Record)]


def label(record: Record, name: str) -> str | None:
    return next((found.value for found in record.labels if found.name == name), None)


def test_every_intent_has_enough_phrasings() -> None:
    for intent in GRAMMAR:
        found = phrasings(intent, EACH)
        assert len(set(found)) == len(found) >= EACH // 2
        assert found == phrasings(intent, EACH)


@pytest.mark.parametrize("seed", [0, 1, -7])
def test_test_asks_for_unseen_phrasings_of_known_words(seed: int) -> None:
    records = read(BuildConfig(seed=seed), spoken=False)
    assert len({record.texts[0].text for record in records}) == len(records) == EACH * len(GRAMMAR)
    seen: dict[str, set[str]] = defaultdict(set)
    groups: dict[str | None, set[str | None]] = defaultdict(set)
    for record in records:
        groups[record.group].add(record.split)
        if record.split == "train":
            assert record.group is not None
            seen[str(label(record, "intent"))] |= set(record.group.partition(": ")[2].split())
    assert all(len(splits) == 1 for splits in groups.values())
    held = [record for record in records if record.split != "train"]
    for record in held:
        assert record.group is not None
        assert set(record.group.partition(": ")[2].split()) <= seen[str(label(record, "intent"))]
    per_intent = Counter((label(record, "intent"), record.split) for record in records)
    for intent in GRAMMAR:
        assert per_intent[intent, "test"] >= 3
        assert per_intent[intent, "validation"] >= 1
        assert per_intent[intent, "train"] >= EACH // 2


def test_slots_are_said_and_labelled() -> None:
    for record in read(BuildConfig(), spoken=False):
        for name, values in SLOTS.items():
            value = label(record, f"slot_{name}")
            if value is not None:
                assert value in values
                assert value in record.texts[0].text
        assert "{" not in record.texts[0].text


def test_shares_of_nothing_hold_nothing_out() -> None:
    assert {record.split for record in read(BuildConfig(test=0, validation=0), spoken=False)} == {"train"}


def test_voices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speech, "JOB", 6)  # what a limited build speaks is rounded up to whole jobs
    config = BuildConfig(voices=("en-us", "en-us+f2"), limit=6)
    records = read(config)[:6]
    for record in records:
        assert [media.by for media in record.audio] == ["en-us", "en-us+f2"]
        assert {media.text for media in record.audio} == {record.texts[0].text}
        assert record.texts[0].kind == "transcript"
        for media in record.audio:
            assert media.data is not None
            assert 0.2 < len(read_audio(media.data)) / 16_000 < 4
    result = build("spoken-commands", tmp_path / "c.lance", config)
    assert (result.given, result.accepted, result.leaks) == (6, 6, ())


@pytest.mark.parametrize("voices", [("de",), (), ("en-us", "cmn")])
def test_voices_of_other_languages_are_refused(voices: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="commands are English"):
        open_source("spoken-commands", BuildConfig(voices=voices))
