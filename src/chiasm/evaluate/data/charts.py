"""Charts of the report on a table, as inline SVG in the page's own colours: histograms and maps of intersections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from chiasm.evaluate.pages.charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Series, line_chart, number, thin

CELL_W, CELL_H, SIDE, HEAD = 46, 22, 150, 96
MOST_CELLS = 14


def histogram(
    bins: dict[str, Any], *, title: str, unit: str, limit: float | None = None, above: bool = False
) -> Markup:
    """A <figure> of counts over bins {edges [n + 1], counts [n]}; bars beyond `limit` (below it, or above) are drawn as poor."""
    edges, counts = bins["edges"], bins["counts"]
    top = max(counts) or 1
    wide = (WIDTH - LEFT - RIGHT) / len(counts)
    parts: list[Markup] = []
    for i, count in enumerate(counts):
        tall = count / top * (HEIGHT - TOP - BOTTOM)
        # A bin counts as poor when it lies beyond the limit whole.
        poor = limit is not None and (edges[i] >= limit if above else edges[i + 1] <= limit)
        parts.append(
            Markup(
                '<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"><title>{}</title></rect>'
            ).format(
                "fill poor" if poor else "fill",
                LEFT + i * wide,
                HEIGHT - BOTTOM - tall,
                max(wide - 1, 1),
                tall,
                f"{number(edges[i])} to {number(edges[i + 1])}: {count:,}",
            )
        )
    # The end bars hold what lies beyond them too; bars of whole numbers are named by the number and not by its sides.
    below, above_all = bins.get("beyond", (False, False))
    shift = 0.5 if edges[0] % 1 == 0.5 and edges[1] - edges[0] == 1 else 0.0
    names = {
        0: ("≤ " if below else "") + number(edges[0] + shift),
        len(counts) // 2: number(edges[len(counts) // 2] + shift),
        len(counts): ("≥ " if above_all else "") + number(edges[-1] - shift),
    }
    for place, name in names.items():
        anchor = {0: "start", len(counts): "end"}.get(place, "middle")
        x = LEFT + (place + (shift if 0 < place < len(counts) else 0)) * wide
        parts.append(
            Markup('<text x="{:.1f}" y="{}" text-anchor="{}">{}</text>').format(x, HEIGHT - BOTTOM + 18, anchor, name)
        )
    parts.append(Markup('<text x="{}" y="{}" text-anchor="end">{}</text>').format(LEFT - 7, TOP + 8, number(top)))
    parts.append(
        Markup('<text class="axis" x="{}" y="{}" text-anchor="middle">{}</text>').format(
            (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 5, unit
        )
    )
    said = f"{title}: {sum(counts):,} items from {number(edges[0])} to {number(edges[-1])} {unit}"
    return _figure(title, said, parts, WIDTH, HEIGHT)


def crossing(found: dict[str, Any], *, title: str) -> Markup:
    """A <figure> of the intersections of two attributes, the commonest values first: each cell's records, coloured by how far they are from what
    independence would give, and framed where records are missing."""
    rows, columns = found["rows"][:MOST_CELLS], found["columns"][:MOST_CELLS]
    cells = {(a, b): (n, expected) for a, b, n, expected in found["cells"]}
    missing = {(a, b) for a, b, _, _ in found["missing"]}
    parts: list[Markup] = []
    for j, name in enumerate(columns):
        x = SIDE + j * CELL_W + CELL_W / 2
        parts.append(
            Markup('<text transform="translate({:.0f} {}) rotate(-45)">{}</text>').format(x, HEAD - 6, _short(name, 15))
        )
    for i, name in enumerate(rows):
        y = HEAD + i * CELL_H
        parts.append(
            Markup('<text x="{}" y="{}" text-anchor="end">{}</text>').format(SIDE - 8, y + 15, _short(name, 20))
        )
        for j, other in enumerate(columns):
            count, expected = cells[name, other]
            lift = (count - expected) / max(expected**0.5, 1)
            strength = min(abs(lift) / 8, 1) * 0.75
            kind = "more" if lift > 0 else "less"
            said = f"{name}, {other}: {count:,} found, {number(expected)} expected"
            parts.append(
                Markup(
                    '<g><title>{}</title><rect class="cell {}{}" x="{}" y="{}" width="{}" height="{}" fill-opacity="{:.2f}"/>'
                    '<text x="{:.0f}" y="{}" text-anchor="middle">{}</text></g>'
                ).format(
                    said,
                    kind,
                    " missing" if (name, other) in missing else "",
                    SIDE + j * CELL_W + 1,
                    y + 1,
                    CELL_W - 2,
                    CELL_H - 2,
                    strength,
                    SIDE + j * CELL_W + CELL_W / 2,
                    y + 15,
                    number(count),
                )
            )
    said = f"{title}: {len(rows)} by {len(columns)} values, {len(missing)} intersections missing"
    wide = SIDE + len(columns) * CELL_W + 60
    kind = "crossing across" if wide > WIDTH else "crossing"
    return _figure(title, said, parts, wide, HEAD + len(rows) * CELL_H + 8, kind)


def growth_chart(vocabulary: dict[str, Any]) -> Markup:
    """Vocabulary growth, one line a language."""
    series = [
        Series(f"{name or 'no language'} (β {one['exponent']:.2f})", thin(one["curve"]), place + 1)
        for place, (name, one) in enumerate(vocabulary.items())
    ]
    return line_chart(series, title="Different words, as words are read", x_label="words", floor=0)


def _figure(title: str, said: str, parts: Sequence[Markup], width: float, height: float, kind: str = "") -> Markup:
    return Markup(
        '<figure class="chart {}"><figcaption>{}</figcaption>'
        '<svg viewBox="0 0 {:.0f} {:.0f}" style="max-width:{:.0f}px" role="img" aria-label="{}">{}</svg></figure>'
    ).format(kind, title, width, height, 1.2 * width, said, Markup("").join(parts))


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
