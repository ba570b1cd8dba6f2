"""evaluate measures what was asked, says what could not be measured, and fails where that is everything."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_cases import TINY, Made, as_json, chiasm, ok


@pytest.fixture(scope="module")
def converting(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that writes captions, beside a space."""
    folder = tmp_path_factory.mktemp("converting")
    tasks = "tasks: {space: {given: [text, image], wanted: space}, caption: {given: [image], wanted: text}}\n"
    (folder / "run.yaml").write_text(f"data: {{table: {made.table}}}\n{tasks}")
    ok("train", folder / "run.yaml", *TINY, "train.steps=2", "--out", folder / "run")
    return folder / "run"


def test_a_protocol_asks_for_no_conversions(made: Made, converting: Path) -> None:
    asked = ("evaluate", converting, made.table, "--no-baseline", "--split", "train", "--most", 2)
    found = as_json(*asked, "--protocol", "probes")
    assert found["conversion"] == {} and found["protocols"] == ["retrieval", "probes"]
    both = as_json(*asked, "--protocol", "probes", "--task", "caption")
    assert set(both["conversion"]) == {"caption"} and both["probes"] == found["probes"] != {}
    alone = as_json(*asked, "--task", "caption")
    assert set(alone["conversion"]) == {"caption"} and alone["retrieval"] == {}


def test_a_protocol_that_finds_nothing_is_told(made: Made) -> None:
    told = ok("evaluate", made.run, made.table, "--no-baseline", "--protocol", "pointing").stderr
    assert "left out: pointing: the model and these splits allow none of it; it needs boxes" in told


def test_measuring_nothing_is_an_error(made: Made, tmp_path: Path) -> None:
    words = tmp_path / "words"
    words.mkdir()
    for name in ("one", "two", "three"):
        (words / f"{name}.txt").write_text(f"the word {name}")
    ok("build", words, tmp_path / "words.lance", "test=0.34", "validation=0")
    report = tmp_path / "report.html"
    result = chiasm("evaluate", made.run, tmp_path / "words.lance", "--protocol", "downstream", "--report", report)
    assert result.exit_code == 3 and not report.exists() and result.stdout == ""
    assert "nothing of what this model does can be measured on it" in result.stderr
    assert "0 records have both" in result.stderr and "downstream: the model and these splits" in result.stderr


def test_several_captions_a_picture_are_shown(made: Made, tmp_path: Path) -> None:
    rows = [
        f'{{"image": "{picture.name}", "texts": ["{picture.stem} {i}", "a {picture.stem}"], "split": "test"}}'
        for i, picture in enumerate(sorted(made.folder.glob("*.png")))
    ]
    manifest = made.folder / "captions.jsonl"
    manifest.write_text("\n".join(rows))
    ok("build", manifest, tmp_path / "captions.lance")
    manifest.unlink()
    found = as_json("evaluate", made.run, tmp_path / "captions.lance", "--no-baseline", "--split", "test")
    entry = found["captions"]["test"]["image"]
    assert (entry["media"], entry["captions"], entry["all"]["text->image"]["n"]) == (12, 24, 24)
    shown = ok("evaluate", made.run, tmp_path / "captions.lance", "--protocol", "captions", "--split", "test").stdout
    assert "any of its own is right" in shown


def test_a_copy_is_tuned_and_the_run_stays_as_it_was(made: Made, tmp_path: Path) -> None:
    alone = chiasm("evaluate", made.run, made.table, "--finetune-steps", 2)
    assert alone.exit_code == 2 and "without --protocol finetune" in alone.stderr
    asked = ("--no-baseline", "--protocol", "finetune", "--finetune-steps", 2)
    bare = chiasm("evaluate", made.run, made.table, *asked)
    assert bare.exit_code == 3 and "no labels to fine-tune on" in bare.stderr and "embed" not in bare.stderr
    rows = [
        f'{{"image": "{picture.name}", "text": "a thing", "labels": {{"bar": "{"bar" in picture.stem}"}}, "split": "{split}"}}'
        for picture in sorted(made.folder.glob("*.png"))
        for split in ["test" if picture.stem.startswith("red") else "train"]
    ]
    manifest = made.folder / "labelled.jsonl"
    manifest.write_text("\n".join(rows))
    ok("build", manifest, tmp_path / "labelled.lance")
    manifest.unlink()

    def files() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in made.run.rglob("*") if path.is_file()}

    before, page = files(), tmp_path / "page.html"
    shown = ok("evaluate", made.run, tmp_path / "labelled.lance", *asked, "--by", "bar", "--report", page)
    assert "fine-tuned whole" in shown.stdout and "finetune bar of image 1000/1000" in shown.stderr
    assert "fine-tuned whole" in page.read_text(encoding="utf8")
    found = as_json("evaluate", made.run, tmp_path / "labelled.lance", *asked, "--finetune-minutes", 5)
    entry = found["finetune"]["test"]["image"]["bar"]
    assert (entry["steps"], entry["records"], entry["n"], entry["classes"]) == (2, 9, 3, 2)
    assert entry["majority"] == pytest.approx(2 / 3, abs=1e-6) and {"accuracy", "interval"} == set(
        entry["linear_probe"]
    )
    assert found["protocols"] == ["retrieval", "finetune"] and files() == before
