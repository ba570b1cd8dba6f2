"""Charts as inline SVG: no script, no outside request; colours come from the page's style sheet, so that they
follow light and dark.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

WIDTH, HEIGHT = 520, 300
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 14, 40
MOST_POINTS = 160

Place = Callable[[float, float], tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Series:
    """One line. points: (x, y), ascending in x; style: number of the colour, 0 … 7."""

    name: str
    points: Sequence[tuple[float, float]]
    style: int


@dataclass(frozen=True, slots=True)
class Rule:
    """A level to compare with: a dashed horizontal line."""

    name: str
    y: float


def line_chart(
    series: Sequence[Series],
    *,
    title: str,
    x_label: str,
    rules: Sequence[Rule] = (),
    floor: float | None = None,
) -> Markup:
    """A <figure> with the lines, axes, a legend and a description for those who do not see it. "" without two
    points.

    floor: the smallest y shown, where the axis should start there whatever the values are.
    """
    series = [Series(s.name, thin(s.points), s.style) for s in series if len(s.points) >= 2]
    if not series:
        return Markup("")
    xs = [x for s in series for x, _ in s.points]
    ys = [y for s in series for _, y in s.points] + [rule.y for rule in rules]
    x_ticks = ticks(min(xs), max(xs))
    y_ticks = ticks(min(ys) if floor is None else min(floor, min(ys)), max(ys), 5)
    x_range, y_range = (min(xs), max(xs)), (y_ticks[0], y_ticks[-1])

    def at(x: float, y: float) -> tuple[float, float]:
        return (
            LEFT + (x - x_range[0]) / ((x_range[1] - x_range[0]) or 1) * (WIDTH - LEFT - RIGHT),
            HEIGHT - BOTTOM - (y - y_range[0]) / ((y_range[1] - y_range[0]) or 1) * (HEIGHT - TOP - BOTTOM),
        )

    parts = [_axes(x_ticks, y_ticks, x_range, x_label, at)]
    for rule in rules:
        y = at(0, rule.y)[1]
        parts.append(Markup('<path class="rule" d="M{} {:.1f}H{}"/>').format(LEFT, y, WIDTH - RIGHT))
        parts.append(
            Markup('<text class="rule-name" x="{}" y="{:.1f}" text-anchor="end">{}</text>').format(
                WIDTH - RIGHT - 2, y - 5 if y > TOP + 16 else y + 14, rule.name
            )
        )
    for one in series:
        path = "M" + "L".join("{:.1f} {:.1f}".format(*at(x, y)) for x, y in one.points)
        parts.append(
            Markup('<path class="line s{}" d="{}"><title>{}</title></path>').format(one.style % 8, path, one.name)
        )
    return _figure(title, _describe(series, rules, x_label), parts, series)


def _axes(x_ticks: list[float], y_ticks: list[float], x_range: tuple[float, float], x_label: str, at: Place) -> Markup:
    parts: list[Markup] = []
    for y in y_ticks:
        place = at(x_range[0], y)[1]
        parts.append(Markup('<path class="grid" d="M{} {:.1f}H{}"/>').format(LEFT, place, WIDTH - RIGHT))
        parts.append(
            Markup('<text x="{}" y="{:.1f}" text-anchor="end">{}</text>').format(LEFT - 7, place + 4, number(y))
        )
    for x in x_ticks:
        if x_range[0] <= x <= x_range[1]:
            place = at(x, 0)[0]
            parts.append(
                Markup('<text x="{:.1f}" y="{}" text-anchor="middle">{}</text>').format(
                    place, HEIGHT - BOTTOM + 18, number(x)
                )
            )
    parts.append(
        Markup('<text class="axis" x="{}" y="{}" text-anchor="middle">{}</text>').format(
            (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 5, x_label
        )
    )
    return Markup("").join(parts)


def _figure(title: str, description: str, parts: list[Markup], series: Sequence[Series]) -> Markup:
    legend = Markup("").join(
        Markup('<li><span class="swatch b{}"></span>{}</li>').format(one.style % 8, one.name) for one in series
    )
    if len(series) == 1:  # the caption names it
        legend = Markup("")
    return Markup(
        '<figure class="chart"><figcaption>{}</figcaption>'
        '<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg><ul class="legend">{}</ul></figure>'
    ).format(title, WIDTH, HEIGHT, f"{title}. {description}", Markup("").join(parts), legend)


def _describe(series: Sequence[Series], rules: Sequence[Rule], x_label: str) -> str:
    said = [f"{s.name}: from {number(s.points[0][1])} to {number(s.points[-1][1])}" for s in series]
    said += [f"{rule.name}: {number(rule.y)}" for rule in rules]
    return f"Over {x_label}: " + "; ".join(said) + "."


def thin(points: Sequence[tuple[float, float]], most: int = MOST_POINTS) -> list[tuple[float, float]]:
    """At most `most` points, each the mean of a run of neighbours; what is not finite is left out."""
    kept = [(float(x), float(y)) for x, y in points if math.isfinite(x) and math.isfinite(y)]
    if len(kept) <= most:
        return kept
    edges = [round(i * len(kept) / most) for i in range(most + 1)]
    runs = [kept[a:b] for a, b in pairwise(edges)]
    return [(sum(x for x, _ in run) / len(run), sum(y for _, y in run) / len(run)) for run in runs]


def ticks(low: float, high: float, count: int = 6) -> list[float]:
    """Round numbers that span low … high, about `count` of them."""
    if high <= low:
        high = low + (abs(low) or 1.0)
    raw = (high - low) / count
    scale = 10.0 ** math.floor(math.log10(raw))
    step = next(nice * scale for nice in (1, 2, 2.5, 5, 10) if nice * scale >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def number(value: float) -> str:
    """A short numeral: 0.0012, 3.4, 120, 4.1k."""
    if value == 0:
        return "0"
    if abs(value) >= 10_000:
        return f"{value / 1000:.4g}k"
    if abs(value) < 0.001:
        return f"{value:.1e}".replace("e-0", "e-")
    return f"{value:.4g}"
