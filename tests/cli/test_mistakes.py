"""Mistakes that would cost data or hours: each is told before anything is read or written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_cases import chiasm, make_folder, ok


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return make_folder(tmp_path / "photos")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["photos.lance", "clean.languages=[english]"], "'english' is no code of a language"),
        (["photos.lance", "steps=dedup"], "a list is wanted: steps=[dedup]"),
        (["photos"], "the name of a table ends in .lance: photos.lance"),
        (["az://bucket/photos.lance"], "known are s3://, gs://"),
    ],
)
def test_a_build_that_cannot_be_meant(photos: Path, settings: list[str], said: str) -> None:
    result = chiasm("build", photos, *settings)
    assert result.exit_code in (2, 3) and said in result.stderr
    assert sorted(path.name for path in photos.parent.iterdir()) == ["photos"]


def test_a_run_and_a_table_are_told_apart(photos: Path) -> None:
    ok("build", photos, "photos.lance")
    (photos.parent / "run" / "checkpoints").mkdir(parents=True)
    assert "photos.lance is a table, where a run is wanted" in chiasm("evaluate", "photos.lance", "photos.lance").stderr
    assert "run is the folder of a run, where a table is wanted" in chiasm("report", "run").stderr
    assert "is a folder, where a file of JSON lines" in chiasm("metrics", "caption", "photos.lance").stderr


def test_results_and_sheets_are_not_written_over(photos: Path) -> None:
    here = photos.parent
    for name, text in (("a", "a cat"), ("b", "a dog")):
        line = {"id": 1, "candidate": text, "references": ["a cat"]}
        (here / f"{name}.jsonl").write_text(json.dumps(line) + "\n", encoding="utf8")
    before = (here / "a.jsonl").read_bytes()
    result = chiasm("metrics", "caption", "a.jsonl", "--per-item", "a.jsonl")
    assert result.exit_code == 2 and "is what is read" in result.stderr
    assert (here / "a.jsonl").read_bytes() == before
    ok("rate", "make", "a.jsonl", "b.jsonl", "--out", "sheet.html")
    key = (here / "sheet.key.json").read_bytes()
    ok("rate", "make", "a.jsonl", "b.jsonl", "--out", "sheet.html")
    result = chiasm("rate", "make", "b.jsonl", "a.jsonl", "--out", "sheet.html")
    assert result.exit_code == 2 and "belongs to another sheet" in result.stderr
    assert (here / "sheet.key.json").read_bytes() == key
