"""Files of one stem are one record; every file is a record's or in the ledger."""

from __future__ import annotations

from pathlib import Path

import pytest

from chiasm.config import BuildConfig
from chiasm.errors import DataError
from chiasm.sources import open_source
from chiasm.sources.folder import FolderSource
from chiasm.types import Label, Record, Rejected


def write(root: Path, files: dict[str, bytes | str]) -> None:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def read(root: Path) -> tuple[dict[str, Record], list[Rejected]]:
    items = list(open_source(str(root), BuildConfig()).records())
    records = {item.id: item for item in items if isinstance(item, Record)}
    return records, [item for item in items if isinstance(item, Rejected)]


def test_files_of_one_stem_belong_together(tmp_path: Path) -> None:
    write(
        tmp_path,
        {"cat.png": b"p", "cat.txt": "a cat", "cat.wav": b"w", "dog.jpg": b"j", "deep/er/cat.PNG": b"x"},
    )
    records, rejected = read(tmp_path)
    assert list(records) == ["cat", "dog", "deep/er/cat"]
    assert rejected == []
    cat = records["cat"]
    assert [text.text for text in cat.texts] == ["a cat"]
    assert [media.path for media in (*cat.image, *cat.audio)] == ["cat.png", "cat.wav"]
    assert cat.labels == ()
    assert records["deep/er/cat"].labels == (Label("folder", "deep/er"),)


def test_languages_and_paragraphs(tmp_path: Path) -> None:
    files = {
        "cat.txt": "a cat\non a mat\n\nanother text\r\n\r\n\n third \n",
        "cat.de.txt": "eine Katze",
        "cat.pt_BR.txt": "um gato",
        "cat.zh.wav": b"w",
        "cat.v2.png": b"p",
    }
    write(tmp_path, files)
    records, _ = read(tmp_path)
    assert set(records) == {"cat", "cat.v2"}
    texts = {(text.text.strip(), text.language) for text in records["cat"].texts}
    assert texts == {
        ("a cat\non a mat", None),
        ("another text", None),
        ("third", None),
        ("eine Katze", "de"),
        ("um gato", "pt_BR"),
    }
    assert records["cat"].audio[0].language == "zh"


def test_every_file_is_accounted_for(tmp_path: Path) -> None:
    files = {
        ".hidden.png": b"h",
        ".git/config.txt": "no",
        "README.md": "about",
        "readme.txt": "about",
        "movie.xyz": b"m",
        "bare": b"b",
        "cat.png": b"p",
    }
    write(tmp_path, files)
    records, rejected = read(tmp_path)
    assert set(records) == {"cat"}
    assert {(item.id, item.part, item.reason) for item in rejected} == {
        (name, "record", "unknown_kind") for name in ("README.md", "readme.txt", "movie.xyz", "bare")
    }
    assert FolderSource(tmp_path, BuildConfig()).total == 5


def test_unreadable_texts_are_remarks_or_rejections(tmp_path: Path) -> None:
    write(tmp_path, {"a.txt": b"\xff\xfe\x00", "b.txt": b"\xff", "b.png": b"p", "c.txt": " \n", "c.png": b"p"})
    records, rejected = read(tmp_path)
    assert set(records) == {"b", "c"}
    assert {(item.id, item.part, item.reason) for item in rejected} == {
        ("a", "record", "encoding"),
        ("b", "text", "encoding"),
        ("c", "text", "empty"),
    }


def test_an_empty_folder_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"\.png.*\.wav.*manifest"):
        list(FolderSource(tmp_path, BuildConfig()).records())
    with pytest.raises(DataError, match="no such folder"):
        open_source(str(tmp_path / "none"), BuildConfig())


def test_order_does_not_change(tmp_path: Path) -> None:
    write(tmp_path, {f"{name}.txt": name for name in "zyxabc"})
    assert list(read(tmp_path)[0]) == sorted("zyxabc")


def test_a_picture_of_the_whole_name_is_no_language(tmp_path: Path) -> None:
    write(tmp_path, {"my.dog.png": b"p", "my.dog.txt": "my dog", "my.cat.de.txt": "meine Katze", "my.cat.png": b"p"})
    records, _ = read(tmp_path)
    assert list(records) == ["my.cat", "my.dog"]
    assert records["my.dog"].texts[0].language is None
    assert records["my.cat"].texts[0].language == "de"


def test_clips_are_kept_with_what_belongs_to_them(tmp_path: Path) -> None:
    write(tmp_path, {"run.mp4": b"m", "run.txt": "a run", "my.dog.mkv": b"m", "my.dog.txt": "my dog", "hop.MOV": b"m"})
    records, rejected = read(tmp_path)
    assert rejected == []
    assert {name: [clip.path for clip in record.video] for name, record in records.items()} == {
        "hop": ["hop.MOV"],
        "my.dog": ["my.dog.mkv"],
        "run": ["run.mp4"],
    }
    assert records["my.dog"].texts[0].language is None


def test_a_table_in_its_own_source_is_no_part_of_it(tmp_path: Path) -> None:
    write(tmp_path, {"a.png": b"1", "a.txt": "a", "bad.png": b"2", "some.lance/b.png": b"3"})
    before = read(tmp_path)
    write(
        tmp_path, {"t.lance/_versions/1.manifest": b"x", "t.lance/data/a.lance": b"x", "t.rejects.jsonl": '{"id": "a"}'}
    )
    assert read(tmp_path) == before
    assert set(before[0]) == {"a", "bad", "some.lance/b"}
