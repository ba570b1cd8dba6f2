"""Rows of JSONL, CSV and Parquet become records; every malformed line is listed with its number."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from chiasm.config import BuildConfig
from chiasm.dataset.build import build
from chiasm.errors import ConfigError, DataError
from chiasm.sources import open_source
from chiasm.sources import rows as rows_module
from chiasm.types import Box, Label, Question, Record, Rejected, Text


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
    (tmp_path / "m.xyz").write_bytes(b"PK")
    with pytest.raises(ConfigError, match="neither a folder nor a file that is known"):
        open_source(str(tmp_path / "m.xyz"), BuildConfig())


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
        "question",
        "questions",
        "answers",
        "boxes",
        "mask",
        "transcript",
        "speaker",
    ]
    rows = [{name: value} for name in names for value in odd]
    read_all = read(jsonl(tmp_path / "m.jsonl", *rows, '{"label": NaN, "text": "x"}'))
    items = [item for item in read_all if isinstance(item, Record) or item.part == "record"]
    assert len(items) == len(rows) + 1
    assert isinstance(items[-1], Record)
    assert items[-1].labels == ()
    for item in items:
        if isinstance(item, Record):
            assert item.id
            assert all(isinstance(text.text, str) for text in item.texts)
            assert all(isinstance(media.path, str) for media in (*item.image, *item.audio))


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (
            {"questions": ["how many?", "what?"], "answers": [2, ["a cat", "cat"]], "lang": "en"},
            (Question("how many?", ("2",), "en"), Question("what?", ("a cat", "cat"), "en")),
        ),
        ({"question": "is it?", "answer": True}, (Question("is it?", ("yes",)),)),
        ({"question": "is it?", "answers": ["no", "nope"]}, (Question("is it?", ("no", "nope")),)),
        ({"question": "what is not known?"}, (Question("what is not known?", ()),)),
        (
            {
                "questions": [
                    {"question": "was?", "answers": ["Hund"], "language": "de"},
                    {"question": "q", "answer": "a"},
                ],
                "lang": "en",
            },
            (Question("was?", ("Hund",), "de"), Question("q", ("a",), "en")),
        ),
        (
            {"questions": '["a?", "b?"]', "answers": '["x", ["y", "z"]]'},
            (Question("a?", ("x",)), Question("b?", ("y", "z"))),
        ),
        ({"questions": [], "answers": []}, ()),
    ],
)
def test_questions(tmp_path: Path, row: dict[str, Any], expected: tuple[Question, ...]) -> None:
    assert only(jsonl(tmp_path / "m.jsonl", {"text": "x", **row})).questions == expected


def test_boxes_and_mask(tmp_path: Path) -> None:
    box = {"x0": 0, "y0": 0.25, "x1": 0.5, "y1": 1, "label": "cat"}
    found = only(jsonl(tmp_path / "m.jsonl", {"image": "a.png", "boxes": [box], "mask": "mask.png"}))
    assert found.boxes == (Box(0.0, 0.25, 0.5, 1.0, "cat"),)
    assert found.mask is not None
    assert found.mask.path == "mask.png"
    pq.write_table(pa.table({"image": ["a.png"], "boxes": [[box]], "mask": [b"png"]}), tmp_path / "m.parquet")
    same = only(tmp_path / "m.parquet")
    assert same.boxes == found.boxes
    assert same.mask is not None
    assert same.mask.data == b"png"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"boxes": [{"x0": 10, "y0": 10, "x1": 50, "y1": 60, "label": "cat"}]}, "fractions"),
        ({"boxes": [{"x0": 0.5, "y0": 0, "x1": 0.5, "y1": 1, "label": "cat"}]}, "fractions"),
        ({"boxes": [{"x0": 10**400, "y0": 0, "x1": 1, "y1": 1, "label": "cat"}]}, "fractions"),
        ({"boxes": [[1, 2, 3, 4]]}, "box 0: expected {x0, y0, x1, y1, label}"),
        ({"boxes": [{"x0": 0, "y0": 0, "x1": 1, "y1": 1}]}, "label"),
        ({"boxes": [{"x0": "0", "y0": 0, "x1": 1, "y1": 1, "label": "cat"}]}, "expected"),
        ({"boxes": 3}, "expected a list"),
        ({"questions": ["a?", "b?"], "answers": ["x"]}, "2 questions and 1 answers"),
        ({"questions": ["a?", None], "answers": ["x", "y"]}, "one of them is empty"),
        ({"questions": [{"answer": "x"}]}, "expected {question, answers, language}"),
        ({"questions": "[1, 2", "answers": "x"}, "not a list in JSON"),
        ({"mask": 3}, "mask: expected a path"),
    ],
)
def test_cells_of_the_wrong_form_are_refused(tmp_path: Path, row: dict[str, Any], said: str) -> None:
    (item,) = read(jsonl(tmp_path / "m.jsonl", {"id": "a", "text": "x", **row}))
    assert isinstance(item, Rejected)
    assert (item.id, item.part, item.reason) == ("a", "record", "format")
    assert said in item.message


@pytest.mark.parametrize(
    ("row", "config", "kinds", "heard"),
    [
        ({"text": "a dog barks"}, {}, ["caption"], None),  # it may describe the sound
        ({"text": "two", "speaker": "theo"}, {}, ["transcript"], "two"),
        ({"text": "a card", "transcript": "two"}, {}, ["caption", "transcript"], "two"),
        ({"text": "two", "transcript": "", "speaker": "theo"}, {}, ["transcript"], "two"),
        ({"text": "two"}, {"transcript_column": "text"}, ["transcript"], "two"),
        ({"worte": "zwei", "text": "2"}, {"transcript_column": "worte"}, ["caption", "transcript"], "zwei"),
    ],
)
def test_what_is_said_in_a_sound(
    tmp_path: Path, row: dict[str, Any], config: dict[str, Any], kinds: list[str], heard: str | None
) -> None:
    found = only(jsonl(tmp_path / "m.jsonl", {"audio": "a.wav", **row}), **config)
    assert [text.kind for text in found.texts] == kinds
    assert [(media.text, media.by) for media in found.audio] == [(heard, row.get("speaker"))]


def test_a_speaker_beside_a_picture_alone_says_nothing(tmp_path: Path) -> None:
    found = only(jsonl(tmp_path / "m.jsonl", {"image": "a.png", "text": "a cat", "speaker": "x", "audio": False}))
    assert found.texts == (Text("a cat", None, "caption"),)
    assert found.audio == ()


def test_one_file_a_split(tmp_path: Path) -> None:
    jsonl(tmp_path / "test.jsonl", {"text": "c"}, {"text": "d", "split": "extra"})
    jsonl(tmp_path / "train-00000-of-00002.jsonl", {"id": "a", "text": "a"}, "{broken")
    jsonl(tmp_path / "train-00001-of-00002.jsonl", {"text": "b"})
    jsonl(tmp_path / "notes.jsonl", {"text": "no manifest"})
    items = read(tmp_path)
    assert [item.id for item in items] == [
        "a", "train-00000-of-00002.jsonl:2", "train-00001-of-00002:1", "test:1", "test:2",
    ]  # fmt: skip
    assert [item.split for item in items if isinstance(item, Record)] == ["train", "train", "test", "extra"]
    assert open_source(str(tmp_path), BuildConfig()).name == tmp_path.name
    (tmp_path / "manifest.jsonl").write_text(json.dumps({"id": "whole", "text": "x"}))
    assert [item.id for item in read(tmp_path)] == ["whole"]


def test_without_a_train_file_a_folder_is_one_of_media(tmp_path: Path) -> None:
    jsonl(tmp_path / "test.jsonl", {"text": "c"})
    (tmp_path / "a.txt").write_text("a text")
    assert [item.id for item in read(tmp_path)] == ["test.jsonl", "a"]


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("id,image,captoin", "columns not used: captoin (did you mean caption?)"),
        ("id,image,caption,width", "columns not used: width"),
        ("id,image,Caption,image_id", "columns not used: Caption (did you mean caption?), image_id"),
        ("id,image,category,licence,split,author,image_kind", ""),
    ],
)
def test_columns_that_are_not_used_are_told(tmp_path: Path, header: str, said: str) -> None:
    cells = ",".join("x" for _ in header.split(","))
    (tmp_path / "m.csv").write_text(f"{header}\n{cells}\n")
    jsonl(tmp_path / "m.jsonl", dict.fromkeys(header.split(","), "x"))
    for name in ("m.csv", "m.jsonl"):
        found = open_source(str(tmp_path / name), BuildConfig()).found
        assert found.partition("one row a record")[2].removeprefix("; ") == said


def test_columns_of_the_configuration_are_used(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("id,bild,text\na,a.png,x\n")
    assert open_source(str(tmp_path / "m.csv"), BuildConfig(image_column="bild")).found.endswith("one row a record")
    assert open_source(str(tmp_path / "m.csv"), BuildConfig(text_column="bild")).found.endswith("not used: text")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("id,Image,Caption\na,a.png,x\n", r"it has id, Image \(did you mean image\?\), Caption \(did you mean caption"),
        ("id;image;caption\na;a.png;x\n", "separated by ';': separate it by commas"),
        ("id\timage\tcaption\na\ta.png\tx\n", "separated by tabs"),
        ("id,category\na,x\n", "no column that gives a text.*known are caption, captions"),
    ],
)
def test_no_column_that_is_known(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "m.csv").write_text(content)
    with pytest.raises(DataError, match=said):
        read(tmp_path / "m.csv")


def test_keys_of_json_lines_are_looked_for_to_the_end(tmp_path: Path) -> None:
    rows = [{"id": str(number), "Caption": "x"} for number in range(150)]
    with pytest.raises(DataError, match=r"Caption \(did you mean caption\?\)"):
        read(jsonl(tmp_path / "m.jsonl", *rows))
    assert len(read(jsonl(tmp_path / "m.jsonl", *rows, {"id": "last", "caption": "x"}))) == 151
    assert len(read(jsonl(tmp_path / "m.jsonl", "{broken"))) == 1  # the ledger tells it


@pytest.mark.parametrize(
    ("row", "texts"),
    [
        ({"caption": "   ", "title": "t"}, ["   ", "t"]),
        ({"caption": ["x", ""]}, ["x", ""]),
        ({"texts": {"en": " ", "de": ["y"]}}, [" ", "y"]),
        ({"texts": ["x", {"text": " "}]}, ["x", " "]),
        ({"keywords": ["a", None, " ", "b"]}, ["a, b", " "]),
        ({"caption": "", "title": None, "texts": [None], "text": "x"}, ["x"]),
    ],
)
def test_a_text_of_white_space_is_refused_by_the_build(tmp_path: Path, row: dict[str, Any], texts: list[str]) -> None:
    path = jsonl(tmp_path / "m.jsonl", {"id": "a", **row}, {"id": "b", "text": "whole"})
    (found, _) = read(path)
    assert isinstance(found, Record)
    assert [text.text for text in found.texts] == texts
    result = build(str(path), tmp_path / "t.lance", BuildConfig(test=0, validation=0))
    blank = sum(not text.strip() for text in texts)
    assert (result.accepted, result.dropped_parts, result.reasons.get("empty", 0)) == (2, blank, blank)


@pytest.mark.parametrize(
    "cell", [{"caption": 5}, {"title": True}, {"texts": [1]}, {"texts": {"en": 2.5}}, {"text": {"a": 1}}]
)
def test_a_text_that_is_none(tmp_path: Path, cell: dict[str, Any]) -> None:
    (item,) = read(jsonl(tmp_path / "m.jsonl", {"id": "a", "image": "a.png", **cell}))
    assert isinstance(item, Rejected)
    assert (item.part, item.reason) == ("record", "format")
    assert "expected a text" in item.message


def test_a_language_that_is_no_code_is_remarked_once(tmp_path: Path) -> None:
    rows = [
        {"id": str(n), "text": f"text {n}", "language": code} for n, code in enumerate(("english", "en", "english"))
    ]
    rows.append({"id": "3", "texts": {"pt_BR": "a", "deu": "b", "xx": "c"}})
    path = jsonl(tmp_path / "m.jsonl", *rows)
    items = read(path)
    assert [(item.id, item.reason) for item in items if isinstance(item, Rejected)] == [
        ("0", "language"),
        ("3", "language"),
    ]
    result = build(str(path), tmp_path / "t.lance", BuildConfig(test=0, validation=0))
    assert (result.given, result.accepted, result.dropped_parts, dict(result.reasons)) == (4, 4, 0, {"language": 2})


@pytest.mark.parametrize(
    ("name", "config", "splits"),
    [
        ("easy_vqa", {}, {"train": 4000, "test": 1000}),
        ("fsdd", {}, {"train": 2250, "test": 250}),
        ("multi30k", {}, {"train": 3000, "val": 1014}),
        ("klettres", {"transcript_column": "text"}, {"train": 1461, "val": 187, "test": 181}),
    ],
)
def test_real_manifests(
    shared_data: Callable[[str], Path], name: str, config: dict[str, Any], splits: dict[str, int]
) -> None:
    items = read(shared_data(name), **config)
    records = [item for item in items if isinstance(item, Record)]
    assert len(records) == len(items)
    assert Counter(record.split for record in records) == splits
    if name == "easy_vqa":
        assert sum(len(record.questions) for record in records) == 48_248
        assert len({question.answers for record in records for question in record.questions}) == 13
    if name == "fsdd":
        assert {record.audio[0].by for record in records} == {"george", "jackson", "lucas", "nicolas", "theo"}
    if name in ("fsdd", "klettres"):
        assert all(record.audio[0].text == record.texts[0].text for record in records)
    if name == "multi30k":
        assert {text.language for text in records[0].texts} == {"en", "de", "fr", "cs"}
