"""The learning curves of a run, from its log.jsonl."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard

from markupsafe import Markup

from chiasm.evaluate.pages.charts import Rule, Series, line_chart

Line = Mapping[str, Any]


def read_log(path: Path) -> list[dict[str, Any]]:
    """The log's lines, without those that are not whole (a killed run leaves half a line). [] where there is
    no log.

    A resumed run writes the steps after its checkpoint again: of equal steps the last counts.
    """
    if not path.is_file():
        return []
    lines: dict[tuple[int, bool], dict[str, Any]] = {}
    for raw in path.read_text(encoding="utf8", errors="replace").splitlines():
        try:
            line = json.loads(raw)
        except ValueError:
            continue
        if (
            isinstance(line, dict)
            and isinstance(line.get("step"), int)
            and isinstance(line.get("seconds"), int | float)
        ):
            lines[line["step"], "validation" in line] = line
    return sorted(lines.values(), key=lambda line: line["step"])


def curves(log: Sequence[Line], batch: int | None) -> list[Markup]:
    """Loss, validation, learning rate and throughput, as far as the log has them. batch: N of the chance
    level ln N.
    """
    steps = [line for line in log if "validation" not in line]
    charts = [
        _losses(steps, batch),
        _validation([line for line in log if "validation" in line]),
        _single(steps, "samples_per_second", "Throughput (records a second)", 2),
        _single(steps, "learning_rate", "Learning rate", 3),
        _single(steps, "gradient_norm", "Gradient norm before clipping", 4),
        _single(steps, "scale", "Logit scale (1 / temperature)", 5, floor=None),
    ]
    return [chart for chart in charts if chart]


def _losses(steps: Sequence[Line], batch: int | None) -> Markup:
    names = sorted({name for line in steps for name in line.get("losses") or {}})
    # The total is a weighted sum over the pairs and has no chance level of its own: the pairs are drawn.
    series = [
        Series(name, [(_minutes(line), line["losses"][name]) for line in steps if _has(line, name)], i + 1)
        for i, name in enumerate(names)
    ] or [Series("loss", _points(steps, "loss"), 1)]
    level = _chance(steps, batch)
    rules = [Rule(f"chance: ln {math.exp(level):.0f} = {level:.2f}", level)] if level else []
    return line_chart(series, title="Training loss of each pair", x_label="minutes", rules=rules, floor=0)


def _chance(steps: Sequence[Line], batch: int | None) -> float:
    """The loss of guessing: as logged, by pair (a record that lacks a sense leaves fewer candidates), or ln
    of the batch.
    """
    logged = [value for line in steps for value in (line.get("chance") or {}).values() if _real(value)]
    if logged:
        return sum(logged) / len(logged)
    return math.log(batch) if batch else 0.0


def _validation(lines: Sequence[Line]) -> Markup:
    pairs = sorted({name for line in lines for name in line["validation"] or {}})
    series: list[Series] = []
    for i, pair in enumerate(pairs):
        found = [(_minutes(line), _r1(line, pair)) for line in lines]
        series.append(Series(pair.replace("->", " → "), [(x, y) for x, y in found if y is not None], i))
    return line_chart(series, title="R@1 on the validation split", x_label="minutes", floor=0)


def _r1(line: Line, pair: str) -> float | None:
    value = (line["validation"].get(pair) or {}).get("r1")
    return float(value) if _real(value) else None


def _single(steps: Sequence[Line], key: str, title: str, style: int, floor: float | None = 0) -> Markup:
    return line_chart([Series(title, _points(steps, key), style)], title=title, x_label="minutes", floor=floor)


def _points(lines: Sequence[Line], key: str) -> list[tuple[float, float]]:
    return [(_minutes(line), line[key]) for line in lines if _real(line.get(key))]


def _minutes(line: Line) -> float:
    return float(line["seconds"]) / 60


def _has(line: Line, pair: str) -> bool:
    return _real((line.get("losses") or {}).get(pair))


def _real(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and math.isfinite(value)
