"""The report stands alone, says what was measured, and shows hostile data as text."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from evaluate_cases import HOSTILE, Known, shapes

from chiasm.dataset.table import Table
from chiasm.errors import MachineError
from chiasm.evaluate.pages.charts import Rule, Series, line_chart, number, thin, ticks
from chiasm.evaluate.pages.curves import read_log
from chiasm.evaluate.pages.facts import findings, percent, verdict
from chiasm.evaluate.pages.page import linked
from chiasm.evaluate.pages.report import write_report
from chiasm.evaluate.retrieval.protocol import evaluate
from chiasm.types import Label, Record, Text

VOID = {"meta", "img", "br", "hr", "input", "link"}


class Page(HTMLParser):
    """Every tag and attribute; checks that tags are closed in order, as an honest page's are."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def make_run(path: Path, *, torn: bool = False) -> Path:
    path.mkdir()
    (path / "config.yaml").write_text("train:\n  batch: 64\n  note: <b>\n", encoding="utf8")
    lines = [
        {"step": s, "seconds": s * 0.5, "loss": math.log(64) * 0.97**s,
         "losses": {"image-text": 4 * 0.97**s, "audio-text": 4 * 0.99**s},
         "learning_rate": 1e-3, "scale": 14.0 + s, "samples_per_second": 900.0, "gradient_norm": 1.0}
        for s in range(1, 60)
    ]  # fmt: skip
    lines += [{"step": s, "seconds": s * 0.5, "validation": {"text->image": {"r1": s / 60}}} for s in (20, 40, 59)]
    text = "\n".join(json.dumps(line) for line in lines)
    (path / "log.jsonl").write_text(text + ('\n{"step": 60, "sec' if torn else ""), encoding="utf8")
    return path


def make_report(tmp_path: Path, table: Table, records: Sequence[Record], **more: object) -> str:
    model = Known(records, noise=1.5)
    evaluation = evaluate(model, table, held_out=["high"]).to_json()
    out = write_report(make_run(tmp_path / "run"), table, model, evaluation, tmp_path / "deep" / "report.html", **more)  # type: ignore[arg-type]
    assert [path.name for path in out.parent.iterdir()] == ["report.html"]
    return out.read_text(encoding="utf8")


def test_the_report_stands_alone_and_holds_every_part(tmp_path: Path, shapes_table: Table) -> None:
    told: list[tuple[str, int, int]] = []
    records = shapes()
    searches = [
        {
            "title": "“a red thing”, to image",
            "results": [{"id": records[3].id, "score": 0.5}, {"id": "gone", "score": 0.1}],
        },
        {
            "title": "a sound",
            "record": records[0].id,
            "modality": "audio",
            "results": [{"id": records[0].id, "score": 0.9}],
        },
    ]
    html = make_report(
        tmp_path,
        shapes_table,
        records,
        searches=searches,
        seconds={"build": 1.5},
        progress=lambda *now: told.append(now),
    )
    page = Page(html)
    for tag, attributes in page.tags:
        for name in ("src", "href", "poster", "srcset", "action", "data"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:", "#")), (tag, name, value[:80])
    assert not re.search(r"https?://", html.replace("http-equiv", ""))
    assert "@import" not in html and set(re.findall(r"url\(\"?(\w+:)", html)) <= {"data:"}
    sections = {attributes["id"] for tag, attributes in page.tags if tag == "section" and "id" in attributes}
    assert sections == {"curves", "metrics", "examples", "searches", "space", "data", "config", "machine"}
    words = "".join(page.words)
    for said in (
        "chance: ln 64",
        "unseen",
        "Zero-shot",
        "found first",
        "right answer at rank",
        "Drawn for the tests, CC0",
        "batch: 64",
        "build",
    ):
        assert said in words, said
    assert all(attributes.get("alt") for tag, attributes in page.tags if tag == "img")
    assert any(tag == "audio" and "controls" in attributes for tag, attributes in page.tags)
    assert all(attributes.get("aria-label") for tag, attributes in page.tags if tag in ("svg", "audio"))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert told == [("report", done, 4) for done in range(5)]
    assert len(html) < 8_000_000


def test_hostile_data_stays_text(tmp_path: Path, make_table: Callable[..., Table]) -> None:
    records = [
        replace(
            record,
            id=f"{HOSTILE}{i}",
            texts=(Text(f"{HOSTILE} {i}", HOSTILE), Text(f"zweite {i}", '"><img src=x onerror=alert(1)>')),
            image=(replace(record.image[0], by=HOSTILE),),
            audio=(replace(record.audio[0], by='x" onmouseover="y'), *record.audio[1:]),
            labels=(Label(HOSTILE, record.labels[0].value), Label("shape", HOSTILE + record.labels[1].value)),
            group=f"{HOSTILE} {i}",
        )
        for i, record in enumerate(shapes())
    ]
    table = make_table(
        records,
        source=HOSTILE,
        attribution=f'{HOSTILE} see https://example.org/a"onclick="b',
        reasons={HOSTILE: 2},
    )
    html = make_report(
        tmp_path,
        table,
        records,
        searches=[{"title": HOSTILE, "results": [{"id": HOSTILE, "score": 1}]}],
        seconds={HOSTILE: 1},
    )
    page = Page(html)
    assert "<script>alert" not in html and "alert(1)>" not in html
    assert sum(tag == "script" for tag, _ in page.tags) == 1
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert [
        attributes["href"]
        for tag, attributes in page.tags
        if tag == "a" and not (attributes["href"] or "").startswith("#")
    ] == ["https://example.org/a"]
    assert HOSTILE in "".join(page.words)


def test_a_bare_run_still_gives_a_report(tmp_path: Path, make_table: Callable[..., Table]) -> None:
    """No log, no configuration, one modality pair, a handful of rows."""
    records = [replace(record, audio=(), split="all", labels=()) for record in shapes()[:3]]
    table, model = make_table(records), Known(records)
    (tmp_path / "empty").mkdir()
    evaluation = evaluate(model, table).to_json()
    html = write_report(tmp_path / "empty", table, model, evaluation, tmp_path / "r.html").read_text(encoding="utf8")
    assert "no baseline" in html and "The run has no config.yaml" in html and "100.0 %" in html
    Page(html)


def test_a_report_that_cannot_be_written_is_a_machine_error(tmp_path: Path, shapes_table: Table) -> None:
    model = Known(shapes())
    (tmp_path / "file").write_text("")
    evaluation = evaluate(model, shapes_table, baseline=False).to_json()
    with pytest.raises(MachineError, match="cannot be written"):
        write_report(make_run(tmp_path / "run"), shapes_table, model, evaluation, tmp_path / "file" / "report.html")


def test_the_log_survives_a_torn_line_and_a_resumed_run(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", torn=True)
    assert len(read_log(run / "log.jsonl")) == 62
    with (run / "log.jsonl").open("a", encoding="utf8") as file:
        file.write('\n{"step": 59, "seconds": 99.0, "loss": 7.0}\n[]\n')
    log = read_log(run / "log.jsonl")
    assert len(log) == 62
    assert [line["loss"] for line in log if line["step"] == 59 and "loss" in line] == [7.0]
    assert read_log(tmp_path / "none.jsonl") == []


def test_the_verdict_counts_only_whole_intervals() -> None:
    def entry(r1: float, low: float, high: float, base: float) -> dict[str, object]:
        return {
            "r1": r1,
            "interval": {"r1": [low, high]},
            "baseline": {"r1": base},
            "chance": {"r1": 0.01},
            "n": 100,
            "gallery": 100,
        }

    evaluation = {
        "splits": {"test": {"role": "test"}, "validation": {"role": "validation"}},
        "retrieval": {
            "test": {
                "text->image": entry(0.5, 0.4, 0.6, 0.2),
                "image->text": entry(0.5, 0.4, 0.6, 0.45),
                "text->audio": entry(0.5, 0.4, 0.6, 0.7),
            },
            "validation": {"text->image": entry(0.9, 0.8, 1.0, 0.2)},
        },
    }
    found = findings(evaluation)
    assert [one.verdict for one in found] == ["better", "level", "worse"]
    assert "in 3 of 3 directions, and more often than the linear baseline in 1 of 3 (1 are worse)" in verdict(found)
    assert "comes first in 50.0 % of 100 cases (95 % interval 40.0 % to 60.0 %)" in found[0].sentence


def test_the_verdict_is_plain_where_nothing_was_learned(make_table: Callable[..., Table]) -> None:
    table = make_table(shapes())
    constant = evaluate(Known(shapes(), noise=None), table).to_json()
    assert verdict(findings(constant)).startswith("Nothing was learned that shows. ")
    perfect = evaluate(Known(shapes()), table).to_json()
    for entry in perfect["retrieval"]["test"].values():
        entry["baseline"] = {"r1": 0.1}
    assert verdict(findings(perfect)).startswith("The model learned what the linear baseline could not. ")


def test_numbers_are_short() -> None:
    assert [number(x) for x in (0, 0.00012, 0.25, 3.0, 41_000)] == ["0", "1.2e-4", "0.25", "3", "41k"]
    assert [percent(x) for x in (0, 0.0003, 0.5, 1)] == ["0.0 %", "0.03 %", "50.0 %", "100.0 %"]
    assert ticks(0, 1, 5) == [0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert ticks(3, 3)[0] <= 3 <= ticks(3, 3)[-1]


def test_charts_thin_long_lines_and_survive_what_is_not_finite() -> None:
    points = [(float(i), math.nan if i == 7 else float(i)) for i in range(10_000)]
    kept = thin(points)
    assert len(kept) == 160 and kept[0][0] < 100 and kept[-1][1] > 9_900
    svg = line_chart([Series("<a>", points, 0)], title="<t>", x_label="x", rules=[Rule("r", 5.0)])
    assert "nan" not in svg and "<a>" not in svg and "&lt;t&gt;" in svg
    assert line_chart([Series("one", [(0, 1)], 0)], title="t", x_label="x") == ""


def test_links_are_made_of_addresses_alone() -> None:
    assert linked("by A <b> (https://a.org/x), javascript:alert(1)") == (
        'by A &lt;b&gt; (<a href="https://a.org/x" rel="noopener noreferrer">https://a.org/x</a>), javascript:alert(1)'
    )
