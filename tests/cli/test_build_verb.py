"""`chiasm build`: what it prints, what it refuses."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cli_cases import as_json, chiasm, make_folder, ok

from chiasm.cli.output import counted
from chiasm.dataset.table import Table


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "shapes")


def test_counts_add_up(folder: Path, tmp_path: Path) -> None:
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n")
    (folder / "broken.txt").write_text("a broken picture")
    (folder / "text.png").write_text("this is no picture")
    (folder / "empty.wav").write_bytes(b"")
    (folder / "empty.txt").write_text("a sound of nothing")
    found = as_json("build", folder, tmp_path / "t.lance")
    assert found["given"] == found["accepted"] + found["rejected"]
    assert found["given"] == 15
    assert found["accepted"] == len(Table(tmp_path / "t.lance")) == sum(found["splits"].values())
    ledger = [json.loads(line) for line in Path(found["ledger"]).read_text().splitlines()]
    assert len(ledger) == found["rejected"] + found["dropped_parts"] >= 3
    assert all(line["reason"] and line["message"] for line in ledger)


def test_says_the_same_in_words(folder: Path, tmp_path: Path) -> None:
    result = ok("build", folder, tmp_path / "t.lance")
    assert "12 given = 12 accepted + 0 rejected" in result.stdout
    assert str(tmp_path / "t.lance") in result.stdout.replace("\n", "")
    assert "next: chiasm train" in result.stderr


def test_settings_by_key_and_by_file(folder: Path, tmp_path: Path) -> None:
    config = tmp_path / "build.yaml"
    config.write_text("limit: 5\ntest: 0.4\n")
    assert as_json("build", folder, tmp_path / "a.lance", "-c", config)["given"] == 5
    assert as_json("build", folder, tmp_path / "b.lance", "-c", config, "limit=7")["given"] == 7


def test_an_existing_table_is_kept_unless_told(folder: Path, tmp_path: Path) -> None:
    ok("build", folder, tmp_path / "t.lance")
    refused = chiasm("build", folder, tmp_path / "t.lance")
    assert refused.exit_code == 3
    assert "--overwrite" in refused.stderr
    ok("build", folder, tmp_path / "t.lance", "--overwrite")


@pytest.mark.parametrize(
    ("source", "settings", "code", "message"),
    [
        ("shapes", ["limt=5"], 2, "did you mean 'limit'?"),
        ("shapes", ["limit=none of it"], 2, "'limit'"),
        ("shapes", ["limit"], 2, "write key=value"),
        ("shapes", ["test=0.6", "validation=0.4"], 2, "nothing to train on"),
        ("emoji", ["test=0.5", "validation=0"], 2, "below 1"),
        ("shapes", ["-c", "nowhere.yaml"], 2, "nowhere.yaml: no such configuration file"),
        ("no-such-folder", [], 3, "no-such-folder"),
        ("empty", [], 3, "empty"),
    ],
)
def test_mistakes_are_one_line(
    folder: Path, tmp_path: Path, source: str, settings: list[str], code: int, message: str
) -> None:
    (tmp_path / "empty").mkdir()
    given = source if source == "emoji" else tmp_path / source
    result = chiasm("build", given, tmp_path / "t.lance", *settings)
    assert result.exit_code == code, result.stderr
    assert message in result.stderr
    assert [line for line in result.stderr.splitlines() if "error" in line.lower()][-1].startswith("error: ")
    assert "Traceback" not in result.output
    assert result.stdout == ""
    assert not (tmp_path / "t.lance").exists()


def test_ctrl_c_ends_a_real_build_cleanly_and_it_is_resumed(tmp_path: Path) -> None:
    manifest = tmp_path / "many.jsonl"
    manifest.write_text("".join(f'{{"id": "{n}", "text": "text {n}"}}\n' for n in range(4_000)))
    out = tmp_path / "out" / "t.lance"
    command = [sys.executable, "-m", "chiasm", "build", str(manifest), str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("found: manifest")
        work = out.with_name(".t.lance.work")
        while not any((work / "read").glob("*.arrow")):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
        assert process.wait(timeout=60) == 130
    assert [line for line in rest.splitlines() if not line.startswith(("read ", "check "))] == [
        "what was read and checked is kept: the same command goes on from there",
        "interrupted",
    ]
    assert [left.name for left in out.parent.iterdir()] == [".t.lance.work"]
    kept = len(list((work / "read").glob("*.arrow")))
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    assert f"resuming: an interrupted build has finished {kept} shard" in said.stderr
    assert "4,000 given = 4,000 accepted" in said.stdout
    assert sorted(left.name for left in out.parent.iterdir()) == ["t.lance", "t.rejects.jsonl"]


def test_steps_are_told_with_their_counts(folder: Path, tmp_path: Path) -> None:
    said = ok("build", folder, tmp_path / "t.lance")
    assert any(line.startswith("split: 12 → 12 (") for line in said.stdout.splitlines())
    found = as_json("build", tmp_path / "t.lance", tmp_path / "u.lance", "steps=[split]", "test=0.5", "validation=0")
    (step,) = found["steps"]
    assert (step["step"], step["given"], step["kept"], step["added"]) == ("split", 12, 12, 0)
    assert found["found"].startswith("the table ")
    assert found["splits"]["test"] > 2


def test_reasons_and_leaks_are_told(folder: Path, tmp_path: Path) -> None:
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n")
    rows = [
        {"id": "a", "image": "red_disc.png", "split": "train"},
        {"id": "b", "image": "red_disc.png", "split": "test"},
        {"id": "c", "image": "broken.png", "split": "test"},
    ]
    manifest = folder / "m.jsonl"
    manifest.write_text("\n".join(map(json.dumps, rows)))
    said = ok("build", manifest, tmp_path / "t.lance")
    assert "warning: 1 leak between" in said.stderr
    assert "a, b" in said.stderr
    assert "too few rows to measure on (test 1, validation 0)" in said.stderr
    (reason,) = as_json("build", manifest, tmp_path / "t.lance", "--overwrite")["reasons"]
    assert f"1 × {reason}" in said.stdout
    assert as_json("build", manifest, tmp_path / "t.lance", "--overwrite")["leaks"] == ["group in test and train: a, b"]


def test_a_small_folder_can_be_tested_on(folder: Path, tmp_path: Path) -> None:
    said = ok("build", folder, tmp_path / "t.lance")
    assert Table(tmp_path / "t.lance").splits()["test"] == 2
    assert "(validation 0)" in said.stderr
    assert "warning" not in ok("build", folder, tmp_path / "u.lance", "validation=0").stderr


def test_a_step_that_nothing_was_asked_of_says_what_to_set(folder: Path, tmp_path: Path) -> None:
    table = tmp_path / "t.lance"
    ok("build", folder, table)
    steps = ("clean", "align", "extract", "dedup", "label", "reduce", "augment")
    for number, step in enumerate(steps):
        line = next(
            line
            for line in ok("build", table, tmp_path / f"{number}.lance", f"steps=[{step}]").stdout.splitlines()
            if line.startswith(f"{step}:")
        )
        assert f"nothing was asked of it: set {step}." in line
    # A setting that has no effect alone is told too; one that was asked for, and a build without either, are not.
    assert "nothing was asked" in ok("build", table, tmp_path / "a.lance", "augment.magnitude=3").stdout
    assert "nothing was asked" not in ok("build", table, tmp_path / "b.lance", "dedup.exact=keep").stdout
    shown = ok("build", table, tmp_path / "c.lance", "steps=[label]", "label.cluster={kind: {count: 2}}").stdout
    assert "nothing was asked" not in shown and "labelled 12, replaced 0" in shown


def test_one_is_no_plural() -> None:
    assert [counted(count, "leak") for count in (0, 1, 2, 1000)] == ["0 leaks", "1 leak", "2 leaks", "1,000 leaks"]
    assert counted(2, "copy", "copies") == "2 copies"


def test_what_a_manifest_seems_to_have_wrong(tmp_path: Path) -> None:
    rows = [
        {"id": str(n), "text": f"text {n}", "captoin": "x", "split": "tset" if n > 6 else "train"} for n in range(9)
    ]
    rows[0]["language"] = "english"
    (tmp_path / "m.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    result = ok("build", tmp_path / "m.jsonl", tmp_path / "t.lance")
    assert "columns not used: captoin (did you mean caption?)" in result.stderr
    assert "warning: tset is a split of its own, of 2 rows; did you mean test?" in result.stderr
    assert "warning: 1 language of the manifest is no code of ISO 639" in result.stderr
    assert "9 given = 9 accepted + 0 rejected" in result.stdout
    assert "dropped from records" not in result.stdout
    assert "reasons: 1 × language" in result.stdout


def test_labels_by_people_are_told_with_what_was_refused(tmp_path: Path) -> None:
    rows = [{"id": f"r{n}", "text": f"text {n}"} for n in range(4)]
    (tmp_path / "m.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    (tmp_path / "labels.csv").write_text(
        "id,name,value,annotator\nr0,kind,cat,a\nr1,kind,dog,a\nr9,kind,cat,a\n,kind,cat,a\nr2,kind,,a\nr3,kind,cat,a\nr3,kind,dog,b\n"
    )
    ok("build", tmp_path / "m.jsonl", tmp_path / "a.lance")
    labels = f"label.manual={tmp_path / 'labels.csv'}"
    result = ok("build", tmp_path / "a.lance", tmp_path / "b.lance", "steps=[label]", labels)
    assert "manual: used 2 of 7 (missing 2, tie 2, unknown_id 1)" in " ".join(result.stdout.split())
