"""The verbs on a table at an address, against moto's server."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_cases import TINY, Made, as_json, chiasm, make_folder, ok


def test_what_a_path_may_be_an_address_may_be(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    table, run = f"{bucket}/sets/shapes.lance", tmp_path / "run"
    ok("build", make_folder(tmp_path / "shapes"), table, "test=0.25", "validation=0")
    trained = ok("train", table, *TINY, "--steps", 2, "--out", run)
    assert f"chiasm evaluate {run} {table}" in trained.stderr
    assert f"table: {table}" in (run / "config.yaml").read_text()
    ok("train", "--resume", "--out", run)
    assert as_json("evaluate", run, table, "--no-baseline")["retrieval"]
    assert f'chiasm search {table} "some words"' in ok("index", run, table).stderr
    assert len(as_json("search", table, "a red disc", "-k", 3)["results"]) == 3
    assert as_json("explain", run, "--text", "a red disc", "--image", tmp_path / "shapes/red_disc.png", "--near", table)
    found = as_json("report", table)
    assert found["counts"]["rows"] == 12
    assert found["build"]["ledger"] == {}
    ok("report", table)
    ok("augment", table, "--preview", "sheet.png", "copies=1", "-n", 1)
    ok("build", table, f"{bucket}/again.lance", "steps=[dedup]")
    # What is written for people lies where they stand, and no folder is named like an address.
    assert sorted(path.name for path in here.iterdir()) == ["shapes.report.html", "sheet.png"]


def test_only_tables_lie_at_addresses(made: Made) -> None:
    for arguments in (
        ("train", made.table, *TINY, "--steps", 1, "--out", "s3://bucket/run"),
        ("report", made.table, "--out", "s3://bucket/page.html"),
    ):
        result = chiasm(*arguments)
        assert result.exit_code == 2
        assert "only tables lie on object storage; name a folder of this machine" in result.stderr
