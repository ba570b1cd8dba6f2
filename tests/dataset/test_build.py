"""A build keeps what can be read, explains what cannot, and is whole or not at all."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dataset_cases import ListSource, picture, record, sound

from chiasm.building import CleanConfig, DedupConfig
from chiasm.config import BuildConfig
from chiasm.dataset.build import build
from chiasm.dataset.table import Table
from chiasm.errors import ChiasmError, ConfigError, DataError, MachineError
from chiasm.types import Media, Record, Rejected, Text


def ledger(path: Path) -> list[Rejected]:
    return [Rejected(**json.loads(line)) for line in path.read_text().splitlines()]


def test_a_build_end_to_end(tmp_path: Path) -> None:
    records = [record(number) for number in range(50)]
    stages: list[str] = []
    result = build(ListSource(records), tmp_path / "d.lance", progress=lambda stage, done, total: stages.append(stage))
    assert (result.given, result.accepted, result.rejected, result.dropped_parts) == (50, 50, 0, 0)
    assert result.splits == {"train": 43, "test": 5, "validation": 2}
    assert "read" in stages
    table = Table(tmp_path / "d.lance")
    assert len(table) == 50
    assert table.splits() == result.splits
    assert table.metadata["source"] == "list"
    assert table.metadata["attribution"] == "Pictures: nobody."
    assert table.metadata["config"]["test"] == 0.1
    for found, given in zip(table.records(), records, strict=True):
        assert replace(found, group=None, split=None) == given
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d.lance", "d.rejects.jsonl"]


def test_everything_given_is_accepted_or_explained(tmp_path: Path) -> None:
    good = record(0)
    items: list[Record | Rejected] = [
        good,
        replace(record(1), image=(Media(data=picture(1)[:-40]), Media(data=picture(2)))),
        Record("gone", image=(Media(path="none.png"),)),
        Record("bare"),
        replace(record(3), id="r0"),
        Record("cut", audio=(Media(data=sound(1)[:-10]),), texts=(Text("\x00"),)),
        Rejected("file:7", "record", "malformed", "line 7"),
        Record("text only", texts=(Text("  kept  "),), video=(Media(data=b"mp4"),)),
        Record("bad\ud800id", texts=(Text("x"),)),
    ]
    result = build(ListSource(items, tmp_path), tmp_path / "d.lance")
    assert (result.given, result.accepted, result.rejected, result.dropped_parts) == (9, 3, 6, 2)
    rows = {(row.id, row.part, row.reason) for row in ledger(result.ledger)}
    assert rows == {
        ("r1", "image", "truncated"),
        ("gone", "record", "missing"),
        ("bare", "record", "no_modality"),
        ("r0", "record", "duplicate_id"),
        ("cut", "record", "empty"),
        ("file:7", "record", "malformed"),
        ("text only", "video", "format"),
        ("bad\ud800id", "record", "encoding"),
    }
    assert result.reasons["missing"] == 1
    kept = {found.id: found for found in Table(result.path).records()}
    assert len(kept["r1"].image) == 1
    assert kept["text only"].texts == (Text("kept"),)


def test_copies_never_straddle_a_split(tmp_path: Path) -> None:
    records = [record(number) for number in range(40)]
    # The same picture in another file format is the same picture.
    copies = [
        Record(f"copy{number}", image=(Media(data=picture(number, "BMP")),), texts=(Text(f"another {number}"),))
        for number in range(40)
    ]
    result = build(ListSource([*records, *copies]), tmp_path / "d.lance", BuildConfig(test=0.3, validation=0.2))
    assert result.leaks == ()
    found = {item.id: item for item in Table(result.path).records(columns=["id", "group", "split"])}
    for number in range(40):
        assert found[f"r{number}"].split == found[f"copy{number}"].split
        assert found[f"r{number}"].group == found[f"copy{number}"].group


def test_media_beside_the_table(tmp_path: Path) -> None:
    root = tmp_path / "media"
    root.mkdir()
    (root / "a.png").write_bytes(picture(0))
    source = ListSource([Record("a", image=(Media(path="a.png"),))], root)
    result = build(source, tmp_path / "out" / "d.lance", BuildConfig(embed_media=False))
    table = Table(result.path)
    (medium,) = table.records()[0].image
    assert (medium.path, medium.data) == ("a.png", None)
    assert table.read(medium) == picture(0)
    moved = tmp_path / "moved"
    moved.mkdir()
    root.rename(moved / "media")
    (tmp_path / "out").rename(moved / "out")
    assert Table(moved / "out" / "d.lance").read(medium) == picture(0)


def test_limit_and_determinism(tmp_path: Path) -> None:
    source = ListSource([record(number, group=f"g{number // 3}") for number in range(60)], rule="forms")
    first = build(source, tmp_path / "a.lance", BuildConfig(limit=30))
    again = build(source, tmp_path / "b.lance", BuildConfig(limit=30, workers=5))
    assert first.given == 30
    assert Table(first.path).records() == Table(again.path).records()


def test_nothing_is_overwritten_by_mistake(tmp_path: Path) -> None:
    out = tmp_path / "d.lance"
    build(ListSource([record(1)]), out)
    with pytest.raises(DataError, match="--overwrite"):
        build(ListSource([record(2)]), out)
    build(ListSource([record(2)]), out, overwrite=True)
    assert Table(out).records(columns=["id"])[0].id == "r2"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(DataError):
        build(ListSource([record(1)]), tmp_path / "mine", overwrite=True)
    assert (tmp_path / "mine" / "thesis.txt").exists()


def test_nothing_usable_is_an_error_and_the_ledger_stays(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none of 2 inputs"):
        build(ListSource([Record("a"), Record("b")]), tmp_path / "d.lance")
    assert len(ledger(tmp_path / "d.rejects.jsonl")) == 2
    assert not (tmp_path / "d.lance").exists()
    with pytest.raises(DataError, match="no records"):
        build(ListSource([]), tmp_path / "d.lance")


def test_a_source_that_fails_midway_leaves_the_old_table(tmp_path: Path) -> None:
    class Failing(ListSource):
        def records(self) -> Iterator[Record | Rejected]:
            yield from (record(number) for number in range(600))
            raise DataError("line 601: the disk is gone")

    out = tmp_path / "d.lance"
    build(ListSource([record(1)]), out)
    with pytest.raises(DataError, match="line 601"):
        build(Failing([]), out, overwrite=True)
    assert len(Table(out)) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d.lance", "d.rejects.jsonl"]


@pytest.mark.parametrize("name", ["tuxpaint", "openclipart"])
def test_real_folders_build(name: str, shared_data, tmp_path: Path) -> None:
    result = build(str(shared_data(name)), tmp_path / "d.lance", BuildConfig(limit=60))
    assert result.given == result.accepted + result.rejected == 60
    assert result.accepted >= 58
    table = Table(result.path)
    kept = table.records()[0]
    assert kept.texts
    assert kept.image[0].data


def test_the_ledger_belongs_to_the_table_that_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "d.lance"
    first = build(ListSource([record(1), Record("first")]), out)
    with pytest.raises(DataError, match=r"no_modality\)$"):
        build(ListSource([Record("second")]), out, overwrite=True)
    assert [row.id for row in ledger(first.ledger)] == ["first"]

    def fails(*_: object) -> None:
        raise MachineError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("chiasm.dataset.build.publish", fails)
        with pytest.raises(MachineError):
            build(ListSource([record(1), Record("third")]), out, overwrite=True)
    assert [row.id for row in ledger(first.ledger)] == ["first"]
    build(ListSource([record(1), Record("fourth")]), out, overwrite=True)
    assert [row.id for row in ledger(first.ledger)] == ["fourth"]


def test_shares_must_leave_something_to_train_on(tmp_path: Path) -> None:
    forms = ListSource([record(number, group="g") for number in range(9)], rule="forms")
    with pytest.raises(ConfigError, match="below 1"):
        build(forms, tmp_path / "d.lance", BuildConfig(test=0.48))
    with pytest.raises(ValueError, match="nothing to train on"):
        BuildConfig(test=0.5, validation=0.5)


def test_a_table_of_a_named_source_is_measured_when_it_is_built_anew(tmp_path: Path) -> None:
    class Named(ListSource):
        name = "emoji"

    records = [Record(f"r{number}", texts=(Text("a small red apple on a table"),), source="emoji") for number in (1, 2)]
    first = build(Named(records), tmp_path / "a.lance")
    assert "measures" not in Table(first.path).column_names
    again = build(str(first.path), tmp_path / "b.lance", BuildConfig(dedup=DedupConfig(near="remove")))
    assert "measures" in Table(again.path).column_names
    assert (again.given, again.accepted) == (2, 1)


def test_copies_in_a_named_source_are_found_where_they_are_looked_for(tmp_path: Path) -> None:
    """What a source vouches for is not measured, unless a step is asked for that goes by the measures."""

    class Vouching(ListSource):
        checked = frozenset({"image", "audio"})

    records = [record(0), replace(record(0), id="again"), *(record(number) for number in range(1, 8))]
    plain = build(Vouching(records), tmp_path / "plain.lance")
    assert plain.accepted == 9 and "measures" not in Table(tmp_path / "plain.lance").column_names
    for name, config in {
        "copies": BuildConfig(dedup=DedupConfig(exact="remove")),
        "alone": BuildConfig(steps=("dedup",), dedup=DedupConfig(near="remove")),
    }.items():
        found = build(Vouching(records), tmp_path / f"{name}.lance", config)
        assert found.accepted < 9 and found.reasons["duplicate"] >= 1
    small = BuildConfig(clean=CleanConfig(pixels=10_000))
    with pytest.raises(DataError, match="too_small"):
        build(Vouching(records), tmp_path / "clean.lance", small)
    asleep = BuildConfig(steps=("split",), clean=CleanConfig(pixels=10_000))
    assert build(Vouching(records), tmp_path / "asleep.lance", asleep).accepted == 9


@pytest.mark.parametrize(
    ("settings", "error", "told"),
    [
        ({"align": {"by": ["model"]}}, ConfigError, "align.by=[model] or align.mismatch needs a trained model"),
        ({"dedup": {"near": "remove", "embedding": 0.9}}, ConfigError, "dedup.embedding needs a trained model"),
        ({"extract": {"action_names": ["a", "b"]}}, ConfigError, "extract.action_names needs a trained model"),
        ({"extract": {"regions": 2, "region_names": ["a", "b"]}}, ConfigError, "extract.region_names needs"),
        ({"label": {"teacher": {"kind": {"method": "zero_shot"}}}}, ConfigError, "label.teacher.kind: zero_shot needs"),
        ({"label": {"manual": "none.csv"}}, DataError, "label.manual: none.csv: no such file"),
        ({"augment": {"copies": 1, "words": "none.txt"}}, DataError, "augment.words: none.txt: no such file"),
        ({"extract": {"gazetteers": {"tool": "none.txt"}}}, DataError, "extract.gazetteers.tool: none.txt: no such"),
        ({"steps": ["split"], "label": {"manual": "none.csv"}}, DataError, "exists"),
        ({"augment": {"words": "none.txt"}}, DataError, "exists"),
    ],
)
def test_mistakes_in_the_settings_are_told_before_a_table_in_the_way(
    settings: dict[str, Any], error: type[ChiasmError], told: str, tmp_path: Path
) -> None:
    (tmp_path / "d.lance").mkdir()
    config = BuildConfig.model_validate(settings)
    with pytest.raises(error, match=re.escape(told)):
        build(ListSource([record(0)]), tmp_path / "d.lance", config)
