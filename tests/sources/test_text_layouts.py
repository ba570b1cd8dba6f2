"""Parallel texts, corpora and dialogues become records; every line of them is one, or is listed with its number."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from source_trees import picture, read, write

from chiasm.sources import corpus
from chiasm.types import Label, Question, Text


def test_multi30k(tmp_path: Path) -> None:
    write(tmp_path, {
        "data/task1/raw/train.en.gz": gzip.compress(b"Two men.\nA dog.\n\n"),
        "data/task1/raw/train.de.gz": gzip.compress("Zwei Männer.\nEin Hund.\n\n".encode()),
        "data/task1/raw/val.en": "A cat.\nA bear.\nA cow.\n", "data/task1/raw/val.de": "Eine Katze.\n",
        "data/task1/image_splits/train.txt": "1.jpg\n2.jpg\n3.jpg\n", "README.md": "about",
        "images/1.jpg": picture(1, "JPEG"),
    })  # fmt: skip
    found = read(tmp_path)
    assert found.source.found.startswith("multi30k: data/task1/raw/train.de and .en: the same lines in de, en")
    first = found.records["data/task1/raw/train:1"]
    assert first.texts == (Text("Zwei Männer.", "de"), Text("Two men.", "en"))
    assert (first.split, first.group, [part.path for part in first.image]) == ("train", "1.jpg", ["images/1.jpg"])
    assert found.records["data/task1/raw/val:1"].split == "val"
    assert len(found.records) == 3
    assert found.refused == [
        ("data/task1/raw/train:3", "empty"), ("data/task1/raw/val:2", "missing"), ("data/task1/raw/val:3", "missing"),
    ]  # fmt: skip


def test_parallel_lines_that_cannot_be_read(tmp_path: Path) -> None:
    packed = gzip.compress(b"one\ntwo\n" + bytes(range(97, 123)) * 500)
    write(
        tmp_path,
        {
            "train.en": b"a\nb\xff\nc\n",
            "train.de": "x\ny\nz\n",
            "test.en.gz": packed[: len(packed) // 2],
            "test.fr.gz": packed,
        },
    )
    found = read(tmp_path)
    assert set(found.records) == {"train:1", "train:3", "test:1", "test:2"}
    assert found.refused[0] == ("train:2", "encoding")
    assert found.refused[1][1] == "truncated"


WIKI = " \n = Robert Boulter = \n \n Robert is an actor . \n He was born . \n \n = = Career = = \n \n He acted . \n = Du Fu = \n A poet . \n"


@pytest.mark.parametrize("name", ["wiki.train.tokens", "wikitext-2-raw/wiki.train.raw", "train.txt"])
def test_wikitext(name: str, tmp_path: Path) -> None:
    write(tmp_path, {name: WIKI, name.replace("train", "valid"): " = X = \n words \n"})
    found = read(tmp_path)
    assert found.source.found.startswith(f"corpus: {name} has article headings")
    told = {key: (record.texts[0].text.strip(), record.group, record.split) for key, record in found.records.items()}
    assert told == {
        f"{name}:4": ("Robert is an actor .", f"{name}:Robert Boulter", "train"),
        f"{name}:5": ("He was born .", f"{name}:Robert Boulter", "train"),
        f"{name}:9": ("He acted .", f"{name}:Robert Boulter", "train"),
        f"{name}:11": ("A poet .", f"{name}:Du Fu", "train"),
        f"{name.replace('train', 'valid')}:2": ("words", f"{name.replace('train', 'valid')}:X", "valid"),
    }


def test_plain_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"book.txt": b"One line\nand another.\n\n\nSecond.\n\n\xff\n" + b"Words go on. " * 30})
    monkeypatch.setattr(corpus, "MAX_TEXT", 100)
    found = read(tmp_path / "book.txt")
    texts = [record.texts[0].text for record in found.records.values()]
    assert texts[:2] == ["One line\nand another.", "Second."]
    assert "".join(texts[2:]).replace(" ", "") == "Wordsgoon." * 30
    assert all(len(text) <= 100 and text.rstrip().endswith(".") for text in texts)
    assert found.refused == [("book.txt:7", "encoding")]
    # Two small files are a folder, as texts of two records; forced, they are a corpus with a group a file.
    write(tmp_path, {"other.txt": "Third."})
    assert read(tmp_path, decode=False, layout="folder").source.found.startswith("folder")
    assert {record.group for record in read(tmp_path, layout="corpus").records.values()} == {"book.txt", "other.txt"}


TALK = "A: Hi!\nB: Hello,\nwho is it?\nA: Me.\nB: Come in.\n\nA: One?\nB: Two.\nB: Three.\nA: Four?\n"


def test_plain_dialogues(tmp_path: Path) -> None:
    write(tmp_path, {"train.txt": "no name yet\n" + TALK})
    for path in (tmp_path, tmp_path / "train.txt"):
        found = read(path)
        assert found.source.found.startswith("dialogue: train.txt: lines NAME: words")
        first, second = found.records.values()
        assert first.id == "train.txt:2"
        assert first.questions == (Question("Hi!", ("Hello, who is it?",)), Question("Me.", ("Come in.",)))
        assert first.texts == (Text("A: Hi!\nB: Hello, who is it?\nA: Me.\nB: Come in.", None, "dialogue"),)
        assert second.questions == (Question("One?", ("Two. Three.",)),)
        assert second.labels == (Label("speaker", "A"), Label("speaker", "B")) and second.split == "train"
        assert found.refused == [("train.txt:1", "malformed")]


def test_dialogues_in_jsonl(tmp_path: Path) -> None:
    rows = [
        {
            "id": "d1",
            "turns": [{"speaker": "u", "text": "Hi"}, {"speaker": "s", "text": "Hello"}],
            "lang": "en",
            "image": None,
        },
        {"messages": [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}], "label": "chat"},
        {"dialog": ["What?", "That.", "Which?"]},
        {"conversations": [{"from": "human"}]},
        {"no": "turns"},
    ]
    write(tmp_path, {"talk.jsonl": "".join(json.dumps(row) + "\n" for row in rows) + "{broken\n"})
    found = read(tmp_path)
    assert found.source.found.startswith("dialogue: talk.jsonl") and "manifest" in found.source.found
    assert found.records["d1"].questions == (Question("Hi", ("Hello",), "en"),)
    assert found.records["talk.jsonl:2"].labels == (
        Label("label", "chat"),
        Label("speaker", "user"),
        Label("speaker", "assistant"),
    )
    assert found.records["talk.jsonl:3"].questions == (Question("What?", ("That.",)),)
    assert found.refused == [
        ("talk.jsonl:4", "malformed"),
        ("talk.jsonl:5", "malformed"),
        ("talk.jsonl:6", "malformed"),
    ]


def test_prose_is_no_dialogue(tmp_path: Path) -> None:
    write(tmp_path, {"a.txt": "Note: this is prose.\nIt goes on.\nAnd on: and on.\n"})
    assert read(tmp_path / "a.txt").source.found.startswith("corpus")
    assert read(tmp_path).source.found.startswith("folder")
