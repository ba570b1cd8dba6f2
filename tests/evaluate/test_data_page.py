"""The report on a table: one page that needs nothing else, the same as JSON, and figures that add up."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from evaluate_cases import HOSTILE, Known, save, shapes

from chiasm.building import ReportConfig
from chiasm.dataset.table import Table
from chiasm.errors import ConfigError, DataError
from chiasm.evaluate.data.page import write_data_report
from chiasm.evaluate.data.report import Report, report_on
from chiasm.types import Label, Record, Text

CONFIG = ReportConfig(fail_if={"leaks": 0, "rows": "<1000"})


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Table:
    """40 records: two sizes of each group, one in train and one in validation."""
    return save(tmp_path_factory.mktemp("report") / "half.lance", shapes()[::2], name="half")


@pytest.fixture(scope="module")
def report(table: Table) -> Report:
    return report_on(table, CONFIG, other=table)


def test_the_figures_add_up(report: Report) -> None:
    facts = report.facts
    counts = facts["counts"]
    assert counts["rows"] == 40 == sum(counts["splits"].values()) == sum(counts["together"].values())
    assert counts["modalities"]["audio"] == {"records": 40, "items": 80, "lacking": 0}
    assert counts["modalities"]["video"]["lacking"] == 40
    assert counts["languages"] == {"en": {"texts": 40, "records": 40}, "zh": {"texts": 40, "records": 40}}
    assert counts["labels"]["colour"]["values"] == dict.fromkeys(["red", "green", "blue", "yellow", "purple"], 8)
    assert counts["makers"] == {"image": {"pencil": 40}, "audio": {"low": 40, "high": 40}}
    assert set(facts["bias"]["balance"]) == {"colour", "shape", "language", "audio by"}
    assert facts["coverage"]["against"]["vocabulary"]["share"] == 1  # of itself
    assert {one["share"] for one in facts["coverage"]["against"]["clusters"].values()} == {1.0}
    assert facts["duplicates"]["exact"]["rows"] == facts["figures"]["duplicates"]
    # The table's groups were split by size on purpose: the check tells all 20 of them.
    assert facts["leaks"]["total"] == 20
    assert facts["failed"] == [line for line in facts["failed"] if line.startswith(("leaks", "rows"))]
    assert len(facts["failed"]) == 2


def test_the_facts_are_plain_and_the_same_every_time(report: Report, table: Table) -> None:
    again = report_on(table, CONFIG, other=table)
    assert json.dumps(again.facts) == json.dumps(report.facts)


def test_the_page_stands_alone(report: Report, tmp_path: Path) -> None:
    page = write_data_report(report, tmp_path / "deep" / "report.html").read_text(encoding="utf8")
    for address in re.findall(r"(?:src|href)=\"([^\"]*)\"", page):
        assert address.startswith(("data:", "#")), address
    assert "url(" not in page and "@import" not in page and "<script" not in page
    for name in ("counts", "diversity", "coverage", "quality", "bias", "leaks", "build", "examples"):
        assert f'id="{name}"' in page and f'href="#{name}"' in page
    assert "2 of 2 thresholds fail" in page
    assert page.count("<audio") > 10 and page.count("data:image/webp") > 10


def test_whatever_the_data_says_it_is_text(make_table: Callable[..., Table], tmp_path: Path) -> None:
    records = [
        replace(
            record,
            id=f"{HOSTILE}{n}",
            texts=(Text(HOSTILE, HOSTILE),),
            labels=(Label(HOSTILE, f"{HOSTILE}{n % 3}"),),
            source=HOSTILE,
            licence=HOSTILE,
        )
        for n, record in enumerate(shapes()[::4])
    ]
    table = make_table(records, source=HOSTILE, attribution=HOSTILE, steps=[{"step": HOSTILE, "reasons": {HOSTILE: 1}}])
    page = write_data_report(report_on(table), tmp_path / "r.html").read_text(encoding="utf8")
    assert "<script" not in page and 'alert("x")' not in page
    assert "&lt;script&gt;" in page


def test_texts_alone_and_a_model(make_table: Callable[..., Table], tmp_path: Path, table: Table) -> None:
    few = [Record(f"t{n}", texts=(Text(f"sentence number {n}", "en"),), split="train") for n in range(3)]
    found = report_on(make_table(few))
    assert found.facts["quality"]["agreement"] == {} and found.facts["figures"]["vendi"] is None
    write_data_report(found, tmp_path / "few.html")
    model = Known(shapes(), noise=0.05)
    judged = report_on(table, model=model).facts["quality"]["agreement"]
    assert judged["text-image"]["by"] == "the model" and judged["text-image"]["value"] > 0.95


def test_the_ledger_and_the_steps_are_told(make_table: Callable[..., Table], tmp_path: Path) -> None:
    steps = [{"step": "clean", "given": 4, "kept": 3, "added": 0, "seconds": 0.5, "reasons": {"blank": 1}, "facts": {}}]
    records = [Record(f"t{n}", texts=(Text(f"sentence number {n}", "en"),), split="train") for n in range(3)]
    table = make_table(records, steps=steps, given=4, accepted=3, rejected=1)
    ledger = table.path.with_name("made.rejects.jsonl")
    row = {"id": "t9", "part": "record", "reason": "blank", "message": "nothing on it"}
    ledger.write_text(f"{json.dumps(row)}\nno json\n", encoding="utf8")
    found = report_on(table)
    assert found.facts["build"]["steps"] == steps
    assert found.facts["build"]["ledger"] == {
        "blank": {"n": 1, "records": 1, "examples": [{"id": "t9", "part": "record", "message": "nothing on it"}]}
    }
    page = write_data_report(found, tmp_path / "r.html").read_text(encoding="utf8")
    assert "1 × blank" in page and "nothing on it" in page


def test_misuse_is_told_before_the_work(make_table: Callable[..., Table]) -> None:
    table = make_table([])
    with pytest.raises(ConfigError, match="did you mean 'leaks'"):
        report_on(table, ReportConfig(fail_if={"leak": 0}))
    with pytest.raises(DataError, match="no rows"):
        report_on(table)
