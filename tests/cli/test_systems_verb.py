"""The named systems: listed, taken apart, compared, and measured like any run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_cases import Made, as_json, chiasm, ok

from chiasm import Dataset, load
from chiasm.errors import ModelError
from chiasm.systems.catalogue import SPECS

SMALL = ("train.batch=4", "train.threads=1", "train.device=cpu", "data.vocabulary=300")


def test_list() -> None:
    found = as_json("systems")
    assert [one["name"] for one in found] == list(SPECS)
    assert set(found[0]) >= {"name", "title", "paper", "inputs", "fusion", "objectives", "differs", "attends"}
    shown = ok("systems").stdout.splitlines()
    for name in SPECS:
        assert len([line for line in shown if line.split()[:1] == [name]]) == 1, f"one line of {name}"


@pytest.mark.parametrize("name", SPECS)
def test_show(name: str) -> None:
    for size in ("tiny", "base"):
        found = as_json("systems", "show", name, "--size", size)
        assert found["name"] == name
        assert isinstance(found["parameters"], int)
        assert 0 < found["parameters"] <= sum(found["parts"].values())
        assert found["dimensions"]
        if size == "base":
            published = SPECS[name].published
            assert found["published"] == published.parameters
            assert found["published"] == found["parameters"] or found["note"], "a difference is explained"
    shown = ok("systems", "show", name, "--size", "base").stdout
    assert SPECS[name].attends.splitlines()[0] in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "bret"], "did you mean 'bert'?"),
        (["shwo", "bert"], "no such command 'shwo'"),
        (["compare"], "say what to compare"),
        (["compare", "clpi"], "did you mean 'clip'?"),
        (["compare", "--fusion", "erly"], "did you mean 'early'?"),
        (["compare", "clip", "--on", "clip"], "write NAMES=TABLE"),
        (["compare", "clip", "train.stepps=3"], "did you mean 'train.steps'?"),
    ],
)
def test_mistakes(arguments: list[str], message: str, made: Made, tmp_path: Path) -> None:
    table = ["--table", made.table, "--out", tmp_path / "out"] if arguments[0] == "compare" else []
    result = chiasm("systems", *arguments, *table)
    assert result.exit_code == 2
    assert message in result.stderr


def test_compare(made: Made, tmp_path: Path) -> None:
    out = tmp_path / "compare"
    place = ("--table", made.table, "--out", out, "--on", f"gpt={made.table}")
    asked = ("systems", "compare", "clip", "gpt", "detr", *place, "--steps", 3, *SMALL)
    found = as_json(*asked)
    assert json.loads((out / "compare.json").read_text()) == found
    clip, gpt, detr = found["rows"]
    assert (clip["name"], clip["steps"], clip["failed"]) == ("clip", 3, None)
    assert 0 < gpt["losses"]["next_word"]["last"] < gpt["losses"]["next_word"]["chance"] + 1
    assert gpt["measure"]["low"] <= gpt["measure"]["value"] <= gpt["measure"]["high"]
    assert clip["losses"]["text_image"]["information"]["ceiling"] > 0
    assert "boxes" in detr["failed"], "a table without boxes is a row with the reason"
    page = (out / "compare.html").read_text(encoding="utf8")
    assert "CLIP" in page
    assert detr["failed"].replace("'", "&#39;") in page
    assert "http" not in page.replace("http-equiv", ""), "the page asks nobody"
    again = as_json(*asked)
    assert again["rows"][0]["cpu_seconds"] == pytest.approx(clip["cpu_seconds"], abs=1.0), "what is finished is kept"
    other = chiasm("systems", "compare", "clip", "--table", made.table, "--steps", 4, "--out", out, *SMALL)
    assert other.exit_code == 2
    assert "another configuration" in other.stderr


def test_runs_of_named_systems_are_measured(made: Made, tmp_path: Path) -> None:
    run = tmp_path / "gpt"
    told = ok("train", made.table, "system=gpt", *SMALL, "--steps", 2, "--out", run)
    assert f"next: chiasm evaluate {run} {made.table}" in told.stderr
    found = as_json("evaluate", run, made.table)
    assert found["system"] == "gpt"
    assert set(found["measures"]["test"]) == {"name", "value", "low", "high", "chance", "n", "beside", "beats_chance"}
    assert "word accuracy" in ok("evaluate", run, made.table, "--split", "train").stdout
    assert "no split 'tset'" in chiasm("evaluate", run, made.table, "--split", "tset").stderr
    with pytest.raises(ModelError, match="a run of gpt"):
        load(run)


@pytest.mark.parametrize("name", ["clip", "siglip"])
def test_dual_encoders_are_searched_like_any_model(name: str, made: Made, tmp_path: Path) -> None:
    run, table = tmp_path / name, tmp_path / "shapes.lance"
    ok("build", made.folder, table, "test=0.25", "validation=0")
    ok("train", table, f"system={name}", *SMALL, "--steps", 2, "--out", run)
    model = load(run)
    assert model.modalities == ("text", "image")
    words = model.embed(text=["a red disc", "a blue bar"])
    assert words.shape == (2, model.dimension)
    assert abs((words**2).sum(1) - 1).max() < 1e-5
    assert model.identity == load(run).identity
    found = as_json("evaluate", run, table, "--no-baseline")
    assert set(found["retrieval"]["test"]) == {"text->image", "image->text"}
    ok("index", run, table)
    picture = next(made.folder.glob("*.png"))
    hits = Dataset(table).search(image=picture, to="image", k=1)
    assert hits[0].id == picture.stem
