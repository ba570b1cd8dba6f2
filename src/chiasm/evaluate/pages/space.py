"""The embedding space drawn: t-SNE of the test items, each record's senses joined by a line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from chiasm.dataset.table import Table
from chiasm.errors import MediaError
from chiasm.evaluate.pages.embedded import data_uri, webp
from chiasm.evaluate.retrieval.items import Side
from chiasm.modalities.image import read_image
from chiasm.types import Record

RECORDS = 240
"""Records drawn at most: with three modalities, 720 items."""
PICTURES = 36
"""Records whose picture is drawn in the plot itself."""
TILE = 32
COLUMNS = 20
WIDTH, HEIGHT, MARGIN = 760, 560, 24


@dataclass(frozen=True, slots=True)
class Space:
    """The drawing, and the thumbnails that its script shows beside the pointer: tile i of the sprite belongs
    to data-tile i.
    """

    svg: Markup
    sprite: str | None
    method: str
    items: int


def draw_space(table: Table, sides: Mapping[str, Side], rows: NDArray[np.int64], *, seed: int = 0) -> Space | None:
    """Draw up to RECORDS of the records at `rows` that have at least two modalities; None where there are
    fewer than 4 items.
    """
    held = sum(np.isin(rows, side.rows).astype(int) for side in sides.values())
    rows = rows[np.asarray(held) >= 2]
    rng = np.random.default_rng(seed)
    if len(rows) > RECORDS:
        rows = np.sort(rng.choice(rows, RECORDS, replace=False))
    parts = {name: side.at(_mask(rows, len(table))) for name, side in sides.items()}
    parts = {name: side for name, side in parts.items() if len(side.rows)}
    vectors = [side.embedding for side in parts.values()]
    if sum(map(len, vectors)) < 4:
        return None
    flat, method = _project(np.concatenate(vectors), seed)
    place: dict[str, NDArray[np.float64]] = {}
    start = 0
    for name, side in parts.items():
        place[name] = flat[start : start + len(side.rows)]
        start += len(side.rows)
    records = {int(row): record for row, record in zip(rows, table.records(rows), strict=True)}
    sprite, tiles, pictures = _thumbnails(table, records, set(rng.permutation(rows)[:PICTURES].tolist()))
    svg = _svg(parts, place, records, tiles, pictures)
    return Space(svg, sprite, method, len(flat))


def _project(vectors: NDArray[np.float32], seed: int) -> tuple[NDArray[np.float64], str]:
    """[n, E] → [n, 2] in drawing units. t-SNE (van der Maaten & Hinton 2008); PCA for few items, where it is
    more honest.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    if len(vectors) < 60:
        flat, method = PCA(2, random_state=seed).fit_transform(vectors), "PCA"
    else:
        small = PCA(min(32, *vectors.shape), random_state=seed).fit_transform(vectors)
        tsne = TSNE(2, perplexity=min(30, len(vectors) // 4), init="pca", random_state=seed, max_iter=500)
        flat, method = tsne.fit_transform(small), "t-SNE"
    low, high = np.percentile(flat, [0.5, 99.5], axis=0)
    unit = np.clip((flat - low) / np.maximum(high - low, 1e-9), 0, 1)
    return unit * [WIDTH - 2 * MARGIN, HEIGHT - 2 * MARGIN] + MARGIN, method


def _thumbnails(
    table: Table, records: Mapping[int, Record], chosen: set[int]
) -> tuple[str | None, dict[int, int], dict[int, str]]:
    """One sprite of all pictures, row → tile number, and row → data URI of the `chosen` ones."""
    pixels: dict[int, NDArray[np.uint8]] = {}
    for row, record in records.items():
        if record.image:
            try:
                pixels[row] = read_image(table.read(record.image[0]), TILE)
            except MediaError:
                continue
    if not pixels:
        return None, {}, {}
    sheet = np.full((-(-len(pixels) // COLUMNS) * TILE, COLUMNS * TILE, 3), 255, dtype=np.uint8)
    tiles: dict[int, int] = {}
    for tile, (row, picture) in enumerate(pixels.items()):
        top, left = tile // COLUMNS * TILE, tile % COLUMNS * TILE
        sheet[top : top + TILE, left : left + TILE] = picture
        tiles[row] = tile
    shown = {row: data_uri("image/webp", webp(pixels[row])) for row in chosen if row in pixels}
    return data_uri("image/webp", webp(sheet)), tiles, shown


def _svg(
    parts: Mapping[str, Side],
    place: Mapping[str, NDArray[np.float64]],
    records: Mapping[int, Record],
    tiles: Mapping[int, int],
    pictures: Mapping[int, str],
) -> Markup:
    where = {name: dict(zip(side.rows.tolist(), place[name].tolist(), strict=True)) for name, side in parts.items()}
    drawn: list[Markup] = []
    for row in records:
        path = [where[name][row] for name in parts if row in where[name]]
        joined = "M" + "L".join(f"{x:.0f} {y:.0f}" for x, y in path)
        drawn.append(Markup('<path class="link" d="{}"/>').format(joined))
    pictured: list[Markup] = []  # drawn last, above the points
    for name in parts:
        for row, (x, y) in where[name].items():
            words = _name(records[row])
            if name == "image" and row in pictures:
                pictured.append(
                    Markup(
                        '<image class="point" data-tile="{}" x="{:.0f}" y="{:.0f}" width="24" height="24" '
                        'href="{}"><title>{}</title></image>'
                    ).format(tiles.get(row, ""), x - 12, y - 12, pictures[row], f"{name}: {words}")
                )
            else:
                drawn.append(
                    Markup(
                        '<circle class="point m-{}" data-tile="{}" cx="{:.1f}" cy="{:.1f}" r="4">'
                        "<title>{}</title></circle>"
                    ).format(name, tiles.get(row, ""), x, y, f"{name}: {words}")
                )
    count = sum(len(side.rows) for side in parts.values())
    label = f"{count} items of {len(records)} records ({', '.join(parts)}); lines join what belongs together."
    return Markup('<svg class="space" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        WIDTH, HEIGHT, label, Markup("").join([*drawn, *pictured])
    )


def _name(record: Record) -> str:
    return record.texts[0].text[:80] if record.texts else record.id[:80]


def _mask(rows: NDArray[np.int64], size: int) -> NDArray[np.bool_]:
    found = np.zeros(size, dtype=bool)
    found[rows] = True
    return found
