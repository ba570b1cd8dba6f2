"""Rating sheets: blind and whole; agreement as published; what is read is what was said."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from evaluate_cases import HOSTILE, picture, tone
from sklearn.metrics import cohen_kappa_score

from chiasm.dataset.agreement import krippendorff
from chiasm.errors import ConfigError, DataError, MediaError
from chiasm.evaluate.metrics.agreement import cohen, krippendorff_interval
from chiasm.evaluate.rating.read import read_sheets, sign_test
from chiasm.evaluate.rating.sheets import Result, key_of, make_sheet, read_results, systems_of

_ = np.nan
KRIPPENDORFF = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, _, _, _],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, _, 3],
        [_, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, _],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, _],
    ]
)
"""Four observers, twelve units: "Computing Krippendorff's Alpha-Reliability", 2011, section C."""


def test_alpha_is_that_of_the_worked_example() -> None:
    assert krippendorff(KRIPPENDORFF, "nominal") == pytest.approx(0.743, abs=5e-4)
    assert krippendorff(KRIPPENDORFF, "ordinal") == pytest.approx(0.815, abs=5e-4)
    assert krippendorff(KRIPPENDORFF, "interval") == pytest.approx(0.849, abs=5e-4)


def test_alpha_at_the_ends() -> None:
    rng = np.random.default_rng(0)
    same = np.repeat(rng.integers(1, 6, (1, 30)), 3, 0).astype(float)
    assert krippendorff(same, "ordinal") == 1
    assert abs(krippendorff(rng.integers(1, 6, (4, 2000)).astype(float), "nominal")) < 0.02
    assert np.isnan(krippendorff(np.array([[1.0, np.nan], [np.nan, 2.0]]), "nominal"))
    assert krippendorff(np.ones((2, 4)), "interval") == 1
    low, high = krippendorff_interval(KRIPPENDORFF, "interval")
    assert low < krippendorff(KRIPPENDORFF, "interval") < high


def test_kappa_equals_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    one = rng.integers(1, 6, 200).astype(float)
    two = np.clip(one + rng.integers(-1, 2, 200), 1, 5)
    assert cohen(one, two) == pytest.approx(cohen_kappa_score(one, two), abs=1e-9)
    assert cohen(one, two, weighted=True) == pytest.approx(cohen_kappa_score(one, two, weights="quadratic"), abs=1e-9)
    holes = np.where(np.arange(200) < 100, np.nan, one)
    assert cohen(holes, two) == pytest.approx(cohen_kappa_score(one[100:], two[100:]), abs=1e-9)


def test_sign_test_is_the_binomial() -> None:
    assert sign_test(5, 5) == 1
    assert sign_test(8, 0) == pytest.approx(2 / 256)
    assert sign_test(0, 0) == 1


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    (tmp_path / "p.png").write_bytes(picture("red", "circle", 8))
    (tmp_path / "s.flac").write_bytes(tone("red", "circle", 8, 1.0))
    made = {"plain": "a dot", "clever": f"a red circle {HOSTILE}"}
    for name, text in made.items():
        lines = [
            {"id": "1", "given": {"image": "p.png", "audio": "s.flac"}, "made": {"text": text}},
            {"id": "2", "given": {"text": "draw"}, "made": {"image": "p.png"}},
            {"id": f"only {name}", "candidate": "alone"},
        ]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return [tmp_path / f"{name}.jsonl" for name in made]


def test_the_sheet_is_blind_and_stands_alone(files: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "sheet.html"
    key = make_sheet(systems_of(files), out, seed=3)
    page = out.read_text()
    assert key == json.loads(key_of(out).read_text())
    assert len(key["items"]) == 4 and len(key["pairs"]) == 2
    for name in ("plain", "clever", "baseline"):
        assert name not in page
    assert (
        'alert("x")</script>' not in page
        and "default-src 'none'" in page
        and "http" not in page.replace("http-equiv", "")
    )
    assert page.count("data:image/webp") >= 6 and "data:audio/flac" in page
    first = out.read_bytes()
    make_sheet(systems_of(files), out, seed=3)
    assert out.read_bytes() == first
    with pytest.raises(ConfigError, match="another sheet"):
        make_sheet(systems_of(files), out, seed=4)
    with pytest.raises(ConfigError, match="another sheet"):
        make_sheet(systems_of(files), out, seed=3, items=1)
    assert out.read_bytes() == first
    assert make_sheet(systems_of(files), tmp_path / "other.html", seed=4)["items"] != key["items"]
    assert len(make_sheet(systems_of(files), tmp_path / "one.html", items=1)["items"]) == 2


def fill(key: dict[str, object], rater: str, liked: str) -> list[dict[str, object]]:
    lines: list[dict[str, object]] = []
    for code, item in key["items"].items():  # type: ignore[attr-defined]
        good = item["system"] == liked
        lines.append({"sheet": key["sheet"], "rater": rater, "code": code, "quality": 5 if good else 2, "relevance": 3})
    for code, pair in key["pairs"].items():  # type: ignore[attr-defined]
        lines.append(
            {"sheet": key["sheet"], "rater": rater, "code": code, "preference": "A" if pair["A"] == liked else "B"}
        )
    return lines


def test_what_is_read_is_what_was_said(files: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "sheet.html"
    key = make_sheet(systems_of(files), out)
    lines = fill(key, "ann", "clever") + fill(key, "bob", "clever")
    broken = [
        {"sheet": "other", "rater": "x", "code": "i1", "quality": 1},
        {"sheet": key["sheet"], "rater": "x", "code": "i99", "quality": 1},
        {"sheet": key["sheet"], "rater": "x", "code": "i1", "quality": 9},
        {"sheet": key["sheet"], "rater": "x", "code": "i1", "quality": True},
        {"sheet": key["sheet"], "rater": " ", "code": "i1", "quality": 1},
        {"sheet": key["sheet"], "rater": "x", "code": "p1", "preference": "C"},
    ]
    filled = tmp_path / "r.jsonl"
    filled.write_text("".join(json.dumps(line) + "\n" for line in [*lines, *broken]))
    found = read_sheets([filled], key_of(out))
    assert found["raters"] == ["ann", "bob"]
    told = found["lines"]
    assert (
        told["given"] == told["accepted"] + told["rejected"] == 18
        and told["rejected"] == sum(told["reasons"].values()) == 6
    )
    assert found["scales"]["quality"]["systems"]["clever"]["mean"] == 5
    assert found["scales"]["quality"]["agreement"]["alpha"] == 1
    wins = found["preference"]["systems"]["clever"]
    assert (wins["win_rate"], wins["wins"], wins["losses"]) == (1.0, 4, 0) and "plain" not in found["preference"][
        "systems"
    ]
    # The last answer counts, and a tie is half a win.
    more = [
        {"sheet": key["sheet"], "rater": r, "code": c, "preference": "tie"}
        for c in key["pairs"]
        for r in ("ann", "bob")
    ]
    filled.write_text("".join(json.dumps(line) + "\n" for line in [*lines, *more]))
    assert read_sheets([filled], key_of(out))["preference"]["systems"]["clever"]["win_rate"] == 0.5


def test_bad_files_are_named(files: list[Path], tmp_path: Path) -> None:
    bad = tmp_path / "bad.jsonl"
    for text, message in (
        ("{", "line 1: not JSON"), ("[1]", "not a JSON object"), ('{"id": 1}', "a result is"), ('{"id": 1, "made": {}}', "nothing was made"),
        ('{"id": 1, "made": {"smell": "x"}}', "have text, image, audio"), ("", "no results"), ('{"id":1,"candidate":"a"}\n' * 2, "twice"),
    ):  # fmt: skip
        bad.write_text(text)
        with pytest.raises(DataError, match=message):
            read_results(bad)
    with pytest.raises(MediaError, match="no such file"):
        make_sheet({"a": {"1": Result("1", {}, {"image": "none.png"})}}, tmp_path / "s.html")
    with pytest.raises(ConfigError, match="none of"):
        make_sheet(systems_of(files), tmp_path / "s.html", baseline="other")
    with pytest.raises(DataError, match="in common"):
        make_sheet(
            {"a": {"1": Result("1", {}, {"text": "x"})}, "b": {"2": Result("2", {}, {"text": "x"})}},
            tmp_path / "s.html",
        )
    with pytest.raises(DataError, match="no key"):
        read_sheets([bad], tmp_path / "none.key.json")
