"""explain and rate, and what evaluate says beside retrieval, on a real tiny run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_cases import Made, as_json, chiasm, ok


def test_explain_writes_a_page_a_picture_and_json(made: Made, tmp_path: Path) -> None:
    picture, sound = made.folder / "red_disc.png", made.folder / "red_disc.wav"
    given = ("explain", made.run, "--image", picture, "--text", "a red disc")
    found = as_json(*given, "--method", "occlusion", "--near", made.table, "--out", tmp_path / "why.html")
    assert set(found["maps"]) == {"text", "image"} and len(found["neighbours"]["image"]) == 5
    assert len(found["maps"]["text"]["words"]) == 3 and "area" in found["maps"]["image"]["curves"]
    page = (tmp_path / "why.html").read_text()
    assert page.count("<img") > 2
    shown = ok(*given, "--audio", sound, "--out", tmp_path / "map.png").stdout
    assert "cosine similarity" in shown
    checked = found["maps"]["image"]["curves"]
    better = checked["area"]["deletion"] < checked["area"]["random"] < checked["area"]["insertion"]
    assert checked["trusted"] is better and checked["verdict"].startswith("Both" if better else "Do not trust")
    assert checked["verdict"] in page and shown.count(". Both are better") + shown.count(". Do not trust") == 3
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")


def test_explain_refuses_in_one_line(made: Made, tmp_path: Path) -> None:
    whole = (made.folder / "red_disc.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    for arguments, code, message in (
        (["--text", "a", "--image", tmp_path / "cut.png"], 3, f"{tmp_path / 'cut.png'}: the picture cannot be decoded"),
        (["--text", "a"], 2, "two of text, image and audio"),
        (["--text", "a", "--image", tmp_path / "none.png"], 3, "no such file"),
        (["--text", "a", "--image", made.folder / "red_disc.png", "--out", tmp_path / "x.txt"], 2, ".html"),
    ):
        result = chiasm("explain", made.run, *arguments)
        assert result.exit_code == code and message in result.stderr, result.stderr
        assert result.stderr.count("\n") == 1


def test_rate_makes_and_reads(tmp_path: Path) -> None:
    for name in ("one", "two"):
        lines = [{"id": i, "candidate": f"{name} {i}"} for i in range(3)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    sheet = tmp_path / "sheet.html"
    made = as_json("rate", "make", tmp_path / "one.jsonl", tmp_path / "two.jsonl", "--out", sheet)
    assert (made["items"], made["pairs"], made["systems"]) == (6, 3, ["one", "two"])
    key = json.loads(Path(made["key"]).read_text())
    filled = tmp_path / "filled.jsonl"
    answers = [
        {"sheet": key["sheet"], "rater": "ann", "code": code, "preference": "A" if pair["A"] == "two" else "B"}
        for code, pair in key["pairs"].items()
    ]
    filled.write_text("".join(json.dumps(line) + "\n" for line in answers))
    found = as_json("rate", "read", filled, "--key", made["key"])
    assert found["preference"]["systems"]["two"]["win_rate"] == 1 and found["preference"]["agreement"] is None
    assert "win rate" in ok("rate", "read", filled, "--key", made["key"]).stdout
    assert chiasm("rate", "read", sheet, "--key", made["key"]).exit_code == 3


def test_a_split_that_no_comparison_has_is_refused_before_the_work(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    def loaded(*_: object, **__: object) -> None:
        pytest.fail("a model was loaded first")

    monkeypatch.setattr("chiasm.train.model.load", loaded)
    result = chiasm("evaluate", made.run, made.table, "--against", made.run, "--split", "left_out_makers")
    assert result.exit_code == 2
    assert "the table has no split 'left_out_makers'; it has" in result.stderr


def test_evaluate_against_another_run_and_by_a_label(made: Made, tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.tsv"
    pairs.write_text("red\tred\t5\nred\tblue\t1\nred\tred disc\t4\n")
    found = as_json(
        "evaluate", made.run, made.table, "--no-baseline", "--against", made.run, "--ratings", pairs, "--protocol", "probes",
        "--report", tmp_path / "report.html",
    )  # fmt: skip
    entry = next(iter(found["against"]["splits"].values()))["text->image"]
    assert entry["r1"]["difference"] == 0 and entry["r1"]["better"] is None
    assert found["ratings"]["n"] == 3 and found["fairness"] == {} and found["zero_shot"] != {}
    assert "Against" in (tmp_path / "report.html").read_text()
    assert "no label 'age'" in chiasm("evaluate", made.run, made.table, "--by", "age").stderr
    assert chiasm("evaluate", made.run, made.table, "--protocol", "magic").exit_code == 2


def test_a_dual_encoder_of_the_literature_is_explained_too(made: Made, tmp_path: Path) -> None:
    ok(
        "train",
        made.table,
        "system=clip",
        "train.batch=4",
        "train.device=cpu",
        "--steps",
        2,
        "--out",
        tmp_path / "clip",
    )
    given = ("explain", tmp_path / "clip", "--image", made.folder / "red_disc.png", "--text", "a red disc")
    for method in ("gradient", "rollout", "occlusion"):
        found = as_json(*given, "--method", method)
        values = found["maps"]["image"]["values"]
        assert len(values) == len(values[0]) == 6 and found["pairs"] == {}
        assert max(map(max, values)) > 0
    refused = chiasm(*given, "--method", "contribution")
    assert refused.exit_code == 2 and "mean and a linear map" in refused.stderr
