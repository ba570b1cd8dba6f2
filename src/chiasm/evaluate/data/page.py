"""The report on a table as one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chiasm.evaluate.data.charts import crossing, growth_chart, histogram
from chiasm.evaluate.data.checks import MEANING
from chiasm.evaluate.data.examples import cards
from chiasm.evaluate.data.report import Report
from chiasm.evaluate.pages import facts as words
from chiasm.evaluate.pages.charts import number
from chiasm.evaluate.pages.embedded import Embedded
from chiasm.evaluate.pages.page import render, write_page

KINDS = {
    "best": "What fits best",
    "worst": "What is worst",
    "odd": "What is odd",
    "copies": "Copies that are left",
    "cluster": "What the largest clusters look like",
}


def write_data_report(report: Report, out: str | Path) -> Path:
    """Write the page of `report` to `out`, whole or not at all, and return `out`. Raises MachineError. All data is escaped."""
    out, facts = Path(out), report.facts
    media = Embedded(report.rows.table)
    shown = cards(facts["examples"], report.rows, media)
    quality = facts["quality"]["measures"].values()
    page = render(
        "data.html",
        facts=facts,
        verdicts=verdicts(facts),
        meaning=MEANING,
        split_meaning=words.MEANING,
        noun=words.NOUN,
        kinds=KINDS,
        examples=shown,
        growth=growth_chart(facts["diversity"]["vocabulary"]),
        histograms=[
            histogram(one["bins"], title=one["title"], unit=one["unit"], limit=one["limit"], above=one["above"])
            for one in quality
        ],
        crossings={
            name: crossing(
                one, title=f"{name}: association {one['association']:.2f} ({one['low']:.2f}–{one['high']:.2f})"
            )
            for name, one in _telling(facts["bias"]["crossed"])
        },
        left_out_media=media.left_out,
    )
    write_page(out, page)
    return out


def _telling(crossed: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The six crossings that deviate most from independence, those with missing intersections first; none that shows no association."""
    found = [(name, one) for name, one in crossed.items() if one["missing"] or one["low"] > 0.02]
    return sorted(found, key=lambda one: (-len(one[1]["missing"]), -one[1]["association"]))[:6]


def _rows(count: int) -> str:
    return "row" if count == 1 else "rows"


def verdicts(facts: Mapping[str, Any]) -> list[dict[str, str]]:
    """The page's findings, one a card: {title, value, verdict: better | level | worse, words}."""
    found: list[dict[str, str]] = []

    def add(title: str, value: str, good: bool | None, said: str) -> None:
        found.append(
            {
                "title": title,
                "value": value,
                "verdict": {True: "better", False: "worse", None: "level"}[good],
                "words": said,
            }
        )

    figures, exact = facts["figures"], facts["duplicates"]["exact"]
    if figures["rejected"] is not None and facts["build"]["given"]:
        given = facts["build"]["given"]
        add("Ledger", f"{given:,} given", None if figures["rejected"] else True,
            f"{facts['build']['accepted']:,} accepted, {figures['rejected']:,} rejected, each with its reason.")  # fmt: skip
    seen = "all rows" if exact["looked"] >= exact["of"] else f"{exact['looked']:,} of {exact['of']:,} rows"
    add(
        "Equal copies",
        f"{exact['rows']:,}",
        not exact["rows"],
        f"{_rows(exact['rows'])} too many, in {exact['sets']:,} {'set' if exact['sets'] == 1 else 'sets'} of rows one of whose media, or whose only "
        f"text, is equal; media of {seen} were read. dedup.exact=remove takes them out with dedup.agree=any; by default all that two rows have "
        "must agree.",
    )
    near = facts["duplicates"]["near"]
    add(
        "Near-duplicates",
        f"{near['rows'] - exact['rows']:,}",
        near["rows"] <= exact["rows"],
        f"further {_rows(near['rows'] - exact['rows'])} too many, of {near['looked']:,} that the step dedup compared.",
    )
    leaks = facts["leaks"]
    add("Leaks between splits", f"{leaks['total']:,}", not leaks["total"] and not leaks["near_rows"],
        f"{'break' if leaks['total'] == 1 else 'breaks'} of the rule of {leaks['rule']}; {leaks['near_rows']:,} held-out "
        f"{'row has' if leaks['near_rows'] == 1 else 'rows have'} a copy or a near-duplicate in another split.")  # fmt: skip
    for pair, one in facts["quality"]["agreement"].items():
        a, b = (words.NOUN[name] for name in pair.split("-"))
        low, high = words.percent(one["low"]), words.percent(one["high"])
        add(f"A {a} and its {b}", words.percent(one["value"]), True if one["low"] > 0.5 else None,
            f"of other rows' fit worse than their own (95 %: {low} to {high}; chance 50 %), by {one['by']}, {one['n']:,} rows.")  # fmt: skip
    for name, one in facts["diversity"]["vendi"].items():
        add(f"Variety of {words.NOUN[name]}s", number(one["score"]), None,
            f"different ones in effect, of {one['n']:,} (Vendi score, {one['by']}).")  # fmt: skip
    missing = facts["bias"]["missing"]
    if facts["bias"]["crossed"]:
        add("Missing groups", f"{missing:,}", not missing, "intersections expected at least 5 times and never found.")
    return found
