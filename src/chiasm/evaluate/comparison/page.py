"""The page of a comparison: one HTML file that needs nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from chiasm.evaluate.pages.charts import Rule, Series, line_chart
from chiasm.evaluate.pages.curves import read_log
from chiasm.evaluate.pages.facts import machine_facts
from chiasm.evaluate.pages.page import render, write_page


def write_comparison(out: Path, comparison: Mapping[str, Any]) -> Path:
    """Write `comparison` (Comparison.to_json) to OUT/compare.json and OUT/compare.html; the page's curves come from OUT/NAME/log.jsonl.

    Raises MachineError where they cannot be written.
    """
    write_page(out / "compare.json", json.dumps(comparison, ensure_ascii=False, indent=2) + "\n")
    rows = comparison["rows"]
    page = render(
        "compare.html",
        rows=rows,
        fusions=_fusions(rows),
        verdict=verdict(rows),
        charts=[chart for row in rows if (chart := loss_chart(row, out / row["name"]))],
        tables=list(dict.fromkeys(Path(row["table"]).name for row in rows)),
        seed=comparison["seed"],
        machine=machine_facts(),
        filters={"figure": figure, "words": words, "file_name": file_name},
    )
    write_page(out / "compare.html", page)
    return out / "compare.html"


def verdict(rows: Sequence[Mapping[str, Any]]) -> str:
    """The findings in words."""
    measured = [row for row in rows if row["measure"]]
    failed = len(rows) - len(measured)
    better = sum(bool(row["beats_chance"]) for row in measured)
    learned = sum(all(loss["below_chance"] is not False for loss in row["losses"].values()) for row in measured)
    said = (
        f"{better} of {len(measured)} systems {'does' if better == 1 else 'do'} better than chance, with 95 % confidence, on records they were "
        f"not trained on; {learned} of {len(measured)} end{'s' if learned == 1 else ''} with every loss below its chance value."
    )
    return said + (f" {failed} could not be measured." if failed else "")


def loss_chart(row: Mapping[str, Any], run: Path) -> Markup:
    """A system's losses by step, each as a share of its chance value; one without such a value as a share of its first. "" without a log.

    A loss whose chance value is not positive is left out."""
    steps = [line for line in read_log(run / "log.jsonl") if "validation" not in line]
    series: list[Series] = []
    for place, (name, loss) in enumerate(row["losses"].items()):
        of = loss["first"] if loss["chance"] is None else loss["chance"]
        if of <= 0:  # no share of such a value can be read; the table has the figures
            continue
        label = words(name) + ("" if loss["chance"] else " (share of its first value)")
        points = [(float(line["step"]), line["losses"][name] / of) for line in steps if name in line["losses"]]
        series.append(Series(label, points, place + 1))
    title = (
        row["title"]
        if row["name"] == row["system"]
        else f"{row['title']}: {', '.join(map(str, row['change'].values()))}"
    )
    highest = max((y for one in series for _, y in one.points), default=1.0)
    if highest > 3:  # a first step far above chance would flatten all that follows
        series = [Series(s.name, [(x, min(y, 3.0)) for x, y in s.points], s.style) for s in series]
    return line_chart(series, title=title, x_label="steps", rules=[Rule("chance", 1.0)], floor=0)


def _fusions(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The rows that differ in how modalities are fused, best first."""
    found = [row for row in rows if "fusion" in row["change"]]
    return sorted(found, key=lambda row: row["measure"]["value"] if row["measure"] else -1.0, reverse=True)


def file_name(path: str) -> str:
    return Path(path).name


def figure(value: float | None) -> str:
    """Three digits: 0.0123 → 0.012, 6.931 → 6.93, 120.4 → 120."""
    if value is None:
        return "–"
    digits = 3 if abs(value) < 1 else 2 if abs(value) < 100 else 0
    return f"{value:,.{digits}f}"


def words(name: str) -> str:
    """masked_words → masked words."""
    return name.replace("_", " ")
