"""`chiasm report` and `chiasm augment` on a built table: page, JSON, thresholds that fail, a contact sheet."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from cli_cases import as_json, chiasm, make_folder, ok
from PIL import Image


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("report")
    ok("build", make_folder(root / "shapes"), root / "shapes.lance", "test=0.25", "validation=0")
    return root / "shapes.lance"


def test_a_page_beside_the_table_and_the_figures_on_stdout(table: Path) -> None:
    done = ok("report", table)
    page = table.with_name("shapes.report.html")
    assert f"written: {page}" in done.stderr
    assert "near_duplicates" in done.stdout and "rows" in done.stdout
    assert page.read_text(encoding="utf8").startswith("<!doctype html>")


def test_json_and_thresholds(table: Path, tmp_path: Path) -> None:
    facts = as_json("report", table)
    assert facts["figures"]["rows"] == 12 and facts["failed"] == []
    failed = chiasm("report", table, "--json", "--fail-if", "rows>11", "--fail-if", "leaks>0")
    assert failed.exit_code == 3
    assert failed.stderr.splitlines()[-1].startswith("error: rows is 12, which is > 11")
    assert json.loads(failed.stdout)["failed"] == ["rows is 12, which is > 11 (rows of the table)"]
    settings = tmp_path / "build.yaml"
    settings.write_text("report: {fail_if: {rows: 5}}\n", encoding="utf8")
    assert chiasm("report", table, "--json", "-c", settings).exit_code == 3
    assert chiasm("report", table, "--json", "-c", settings, "--fail-if", "rows>50").exit_code == 0
    assert chiasm("report", table, "--fail-if", "row>5").exit_code == 2
    assert chiasm("report", tmp_path / "none.lance").exit_code == 3


def test_what_no_record_says_is_one_group(table: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    asked = ("--by", "language", "--by", "image by", "--by", "source")
    balance = as_json("report", table, *asked, "--sample", 16, "--out", page)["bias"]["balance"]
    assert set(balance) == {"language", "image by", "source"}
    for name in ("language", "image by"):
        assert balance[name]["values"] == {"none": {"n": 12, "share": 1.0, "low": 1.0, "high": 1.0}}
    assert "none" not in balance["source"]["values"] and "none" in page.read_text(encoding="utf8")


def test_a_build_fails_by_its_own_thresholds(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "shapes", sounds=False)
    done = chiasm("build", folder, tmp_path / "a.lance", "report.fail_if={rows: 3, leaks: 0}", "--json")
    assert done.exit_code == 3 and "rows is 12, which is > 3" in done.stderr
    assert json.loads(done.stdout)["accepted"] == 12 and (tmp_path / "a.lance").is_dir()
    assert chiasm("build", folder, tmp_path / "b.lance", "report.fail_if={rows: 50}").exit_code == 0
    wrong = chiasm("build", folder, tmp_path / "c.lance", "report.fail_if={row: 3}")
    assert wrong.exit_code == 2 and not (tmp_path / "c.lance").exists()


def test_a_contact_sheet(table: Path, tmp_path: Path) -> None:
    one, again, other = (tmp_path / f"{name}.png" for name in ("one", "again", "other"))
    told = as_json("augment", table, "--preview", one, "-n", "3", "copies=4", "magnitude=20")
    assert told == {"preview": str(one), "rows": 3, "copies": 4}
    ok("augment", table, "--preview", again, "-n", "3", "copies=4", "magnitude=20")
    ok("augment", table, "--preview", other, "-n", "3", "copies=4", "magnitude=20", "--seed", "1")
    sheets = [np.asarray(Image.open(path)) for path in (one, again, other)]
    assert (sheets[0] == sheets[1]).all() and sheets[0].shape[1] > 5 * 148
    assert sheets[0].shape != sheets[2].shape or (sheets[0] != sheets[2]).any()
    assert chiasm("augment", table, "--preview", tmp_path / "sheet.txt").exit_code == 2
    assert "did you mean 'augment.copies'" in chiasm("augment", table, "copis=2").stderr
    late = chiasm("report", table, "--by", "nolabel")
    assert (
        late.exit_code == 2 and "--by nolabel: no record has it; there are audio by, image by, language" in late.stderr
    )
    assert "look at rows" not in late.stderr  # said before the media are decoded
    assert "texts of 9 of 9 rows name a colour, and autocontrast" in ok("augment", table, "--preview", one).stderr
    assert "name a colour" not in ok("augment", table, "--preview", one, "image=[rotate]").stderr
    for name in ("cat", "red"):
        (tmp_path / "two").mkdir(exist_ok=True)
        Image.new("RGB", (8, 8), "white").save(tmp_path / "two" / f"{name}.png")
        (tmp_path / "two" / f"{name}.txt").write_text(f"a {name}")
    ok("build", tmp_path / "two", tmp_path / "two.lance", "test=0", "validation=0")
    assert "texts of 1 of 2 rows name a colour" in ok("augment", tmp_path / "two.lance", "--preview", one).stderr
    assert as_json("augment", table, "--preview", one, "augment.copies=2")["copies"] == 2
