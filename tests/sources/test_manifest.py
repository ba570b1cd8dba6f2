"""Rows of JSONL, CSV and Parquet become records; every malformed line is listed with its number."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from chiasm.config import BuildConfig
from chiasm.errors import ConfigError, DataError
from chiasm.sources import open_source
from chiasm.sources import rows as rows_module
from chiasm.types import Label, Record, Rejected, Text


def jsonl(path: Path, *rows: Any) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), "utf8")
    return path


def read(path: Path, **config: Any) -> list[Record | Rejected]:
    source = open_source(str(path), BuildConfig(**config))
    source.prepare()
    return list(source.records())


def only(path: Path, **config: Any) -> Record:
    (item,) = read(path, **config)
    assert isinstance(item, Record)
    return item


def test_columns_that_are_understood(tmp_path: Path) -> None:
    row = {
        "id": "frog",
        "text": "A frog.",
        "texts": {"en": "A frog.", "de": "Ein Frosch."},
        "keywords": ["green", "pond"],
        "description": "",
        "image": "images/frog.png",
        "sound": "sound/frog.ogg",
        "sound_kind": "effect",
        "speech": {"fr": "speech/fr/frog.ogg"},
        "label": "animals",
        "labels": {"colour": "green"},
        "group": "g1",
        "split": "val",
        "licence": "CC0",
        "width": 96,
    }
    found = only(jsonl(tmp_path / "manifest.jsonl", row))
    assert found.id == "frog"
    assert found.texts == (
        Text("A frog.", "en", "caption"),
        Text("green, pond", None, "keywords"),
        Text("Ein Frosch.", "de", "caption"),
    )
    assert [media.path for media in found.image] == ["images/frog.png"]
    assert [(media.path, media.kind, media.language) for media in found.audio] == [
        ("sound/frog.ogg", "effect", None),
        ("speech/fr/frog.ogg", "speech", "fr"),
    ]
    assert found.labels == (Label("label", "animals"), Label("colour", "green"))
    assert (found.group, found.split, found.licence, found.source) == ("g1", "val", "CC0", tmp_path.name)


def test_a_folder_with_a_manifest_is_a_manifest(tmp_path: Path) -> None:
    jsonl(tmp_path / "manifest.jsonl", {"id": "a", "text": "x"})
    (tmp_path / "stray.txt").write_text("not a record")
    assert only(tmp_path).id == "a"


@pytest.mark.parametrize("value", ["a.png", ["a.png", "b.png"], {"path": "a.png", "bytes": None}])
def test_media_by_path(tmp_path: Path, value: Any) -> None:
    found = only(jsonl(tmp_path / "m.jsonl", {"image": value}))
    assert found.image[0].path == "a.png"
    assert found.id == "m:1"


def test_media_by_bytes(tmp_path: Path) -> None:
    encoded = base64.b64encode(b"bytes").decode()
    assert only(jsonl(tmp_path / "m.jsonl", {"image": {"bytes": encoded}})).image[0].data == b"bytes"
    pq.write_table(
        pa.table({"id": ["a"], "image": [{"bytes": b"raw", "path": "a.jpg"}], "audio": [b"wav"]}),
        tmp_path / "m.parquet",
    )
    found = only(tmp_path / "m.parquet")
    assert (found.image[0].data, found.image[0].path, found.audio[0].data) == (b"raw", None, b"wav")
    (item,) = read(jsonl(tmp_path / "n.jsonl", {"id": "x", "image": {"bytes": "not base64!"}}))
    assert isinstance(item, Rejected)
    assert (item.id, item.part, item.reason) == ("x", "record", "format")


def test_csv(tmp_path: Path) -> None:
    text = 'id,caption,image_path,category\na,"two\nlines",a.png,x\nb,short\nc,"quoted, comma",c.png,y\n'
    (tmp_path / "m.csv").write_text(text)
    first, broken, last = read(tmp_path / "m.csv")
    assert isinstance(first, Record)
    assert isinstance(last, Record)
    assert isinstance(broken, Rejected)
    assert (first.texts[0].text, first.image[0].path, first.labels) == (
        "two\nlines",
        "a.png",
        (Label("category", "x"),),
    )
    assert (broken.reason, broken.id) == ("malformed", "m.csv:4")
    assert last.texts[0].text == "quoted, comma"


def test_malformed_lines_are_listed_by_number(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_bytes(
        b'{"id": "a", "text": "x"}\n{broken\n\n[1]\n\xff\xfe\n' + b"[" * 100_000 + b'\n{"id": "b", "text": "y"}'
    )
    items = read(path)
    assert [item.id for item in items] == ["a", "m.jsonl:2", "m.jsonl:4", "m.jsonl:5", "m.jsonl:6", "b"]
    assert [item.reason for item in items if isinstance(item, Rejected)] == [
        "malformed",
        "malformed",
        "encoding",
        "malformed",
    ]


def test_an_endless_line_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_module, "MAX_LINE", 100)
    items = read(jsonl(tmp_path / "m.jsonl", {"text": "x" * 1000}, {"id": "b", "text": "y"}))
    assert [item.id for item in items] == ["m.jsonl:1", "b"]
    assert isinstance(items[0], Rejected)
    assert items[0].reason == "too_long"


def test_columns_named_by_the_configuration(tmp_path: Path) -> None:
    row = {"id": "a", "text": "no", "beschreibung": "ja", "bild": "a.png", "image": "b.png", "ton": "t.wav"}
    found = only(jsonl(tmp_path / "m.jsonl", row), text_column="beschreibung", image_column="bild", audio_column="ton")
    assert [text.text for text in found.texts] == ["ja"]
    assert [media.path for media in (*found.image, *found.audio)] == ["a.png", "t.wav"]
    (tmp_path / "m.csv").write_text("id,text\na,b\n")
    with pytest.raises(ConfigError, match="no column 'bild'; it has id, text"):
        read(tmp_path / "m.csv", image_column="bild")


def test_numbers_are_labels_and_ids(tmp_path: Path) -> None:
    found = only(jsonl(tmp_path / "m.jsonl", {"id": 7, "text": "seven", "label": 0}))
    assert (found.id, found.labels) == ("7", (Label("label", "0"),))


def test_what_is_no_manifest(tmp_path: Path) -> None:
    (tmp_path / "m.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(DataError, match="not a Parquet file"):
        read(tmp_path / "m.parquet")
    (tmp_path / "m.zip").write_bytes(b"PK")
    with pytest.raises(ConfigError, match="manifest"):
        open_source(str(tmp_path / "m.zip"), BuildConfig())


def test_any_row_gives_a_record_or_a_rejection(tmp_path: Path) -> None:
    odd: list[Any] = [
        None,
        True,
        0,
        1.5,
        "",
        " ",
        "text",
        "../x",
        [],
        [[]],
        ["a", None, 3],
        {},
        {"bytes": 3},
        {"a": ["b"]},
        {"a": {}},
    ]
    names = [
        "id",
        "text",
        "captions",
        "keywords",
        "texts",
        "image",
        "audio",
        "speech",
        "label",
        "labels",
        "split",
        "group",
    ]
    rows = [{name: value} for name in names for value in odd]
    items = read(jsonl(tmp_path / "m.jsonl", *rows, '{"label": NaN, "text": "x"}'))
    assert len(items) == len(rows) + 1
    assert isinstance(items[-1], Record)
    assert items[-1].labels == ()
    for item in items:
        if isinstance(item, Record):
            assert item.id
            assert all(isinstance(text.text, str) for text in item.texts)
            assert all(isinstance(media.path, str) for media in (*item.image, *item.audio))
